"""Envoy's HTTP connection manager: the edge, the filters, the access log. Pure."""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy import (
    body_limit,
    forwarded,
    grpc,
    hop,
    limits,
    protocol,
    segment_script,
    subsets,
    tap,
    time_limits,
    user_key,
)
from changeover.gateway.envoy.synthetic import TOLD_HEADER
from changeover.gateway.envoy.user_key import KEY_HEADER
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan

Json = dict[str, Any]

ROUTES = "changeover"
_TYPE = "type.googleapis.com/envoy."


def watched(path: Any) -> Json:
    """Return a source of configuration that is a file which Envoy watches."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def connection_manager(plan: Plan, files: GatewayFiles, hops: int) -> Json:
    """Return the filter that receives users' requests over a number of trusted hops."""
    taps = [tap.http_filter(plan)] if plan.shadow else []
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": _TYPE + "extensions.filters.network.http_connection_manager.v3."
            "HttpConnectionManager",
            "stat_prefix": "users",
            "codec_type": "AUTO",
            **forwarded.settings(hops),
            # Clients see the system's own `server` header, and the client's own id if it sent one.
            "server_header_transformation": "PASS_THROUGH",
            "generate_request_id": True,
            "preserve_external_request_id": True,
            "common_http_protocol_options": {
                **protocol.common(), "idle_timeout": time_limits.LONG_LIVED},
            **time_limits.users(plan),
            **protocol.accepted(),
            **limits.users(plan),
            # Early: before routes are chosen, so that clients cannot choose one by our headers.
            "early_header_mutation_extensions": [_edge_headers(plan, hops)],
            "rds": {"route_config_name": ROUTES, "config_source": watched(files.routes)},
            "http_filters": [*body_limit.filters(plan), *segment_script.filters(plan, files),
                             *user_key.filters(plan), *subsets.filters(plan), *taps,
                             *hop.filters(), {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": _TYPE + "extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }],
            "access_log": [_access_log(plan, files)],
        },
    }


def _edge_headers(plan: Plan, hops: int) -> Json:
    """Return the mutation at the edge: removes headers that only we may set, adds the salt."""
    ours = (KEY_HEADER, "x-changeover-shadow", "x-changeover-system", TOLD_HEADER)
    mutations: list[Json] = [{"remove": name} for name in ours]
    # Whatever the plan says: routes of a later plan may look at more of them than this one's.
    mutations.append({"remove_on_match": {"key_matcher": {
        "prefix": segment_script.OURS, "ignore_case": True}}})
    mutations += forwarded.disbelieved(hops)
    # Envoy hashes one header as it is: salt and key are put together in one of ours.
    plain = plan.routing.plain_header
    if plan.routing.salt and plain is not None:
        value = f"{plan.routing.salt}%REQ({plain.upper()})%"
        mutations.append({
            "append": {
                "header": {"key": KEY_HEADER, "value": value},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        })
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": _TYPE + "extensions.http.early_header_mutation.header_mutation.v3."
            "HeaderMutation",
            "mutations": mutations,
        },
    }


def _access_log(plan: Plan, files: GatewayFiles) -> Json:
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": _TYPE + "extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(files.access_log),
            "log_format": {
                "json_format": {
                    "t": "%START_TIME(%s.%6f)%",
                    # To the last byte, in microseconds: `%DURATION%` has whole milliseconds.
                    "us": "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
                    "ms": "%DURATION%",
                    "s": "%RESPONSE_CODE%",
                    "f": "%RESPONSE_FLAGS%",
                    "r": "%ROUTE_NAME%",
                    # The cluster that was chosen, not the one of the host that answered.
                    "u": "%UPSTREAM_CLUSTER%",
                    # Who answered: named by its host, as two systems may share an address.
                    "c": "%METADATA(UPSTREAM_HOST:changeover:system)%",
                    "h": "%UPSTREAM_HOST%",
                    "n": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
                    "d": "%RESPONSE_CODE_DETAILS%",
                    **user_key.log_fields(plan),
                    "m": "%REQ(:METHOD)%",
                    "b": "%BYTES_SENT%",
                    "i": "%REQ(X-REQUEST-ID)%",
                    **grpc.log_field(plan),
                    **subsets.log_field(plan),
                    **hop.log_field(),
                }
            },
        },
    }
