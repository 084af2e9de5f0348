"""Envoy's tap: copies of a sample of requests and answers, streamed and never waited for. Pure.

The `ext_proc` filter in observability mode sends both to the shadow service and goes on at once.
It is off everywhere but on the extra routes of `config.py`, which a share of the requests takes; so
the share changes with the routes, as everything else does.
"""

from __future__ import annotations

from typing import Any

from changeover.domain.routing import BUCKETS
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan

Json = dict[str, Any]

CLUSTER = "shadow"
MOST_STREAMS = 32
"""Exchanges that are streamed at once; further ones are not tapped, and Envoy counts them."""
FILTER = "envoy.filters.http.ext_proc"
RUNTIME: Json = {
    # Else a service that hangs holds back the users' own bodies beyond 64 kB: Envoy would rather
    # wait than keep more than a buffer of what the service has not read yet. What is kept instead
    # are the bodies of MOST_STREAMS exchanges, until their users have their answers or the service
    # has not answered a ping for PING_TIMEOUT.
    "envoy.reloadable_features.grpc_side_stream_flow_control": False,
}
PING_INTERVAL, PING_TIMEOUT = "2s", "5s"
"""A service that hangs loses its connection after both, and Envoy forgets what it kept for it."""
NOT_UPGRADED: Json = {"name": "upgrade", "present_match": True, "invert_match": True}
"""A websocket never ends: tapped, it would occupy one of the streams as long as it lives."""
_TYPE = "type.googleapis.com/envoy."


def http_filter(plan: Plan) -> Json:
    """Return the filter: it sends headers and bodies of both directions, and fails open.

    Trailers are sent where the baseline may speak gRPC, which has its status there.
    """
    has_trailers = plan.systems.baseline.protocol == "http2"
    return {
        "name": FILTER,
        # On only in the twin routes that a sample of requests takes.
        "disabled": True,
        "typed_config": {
            "@type": _TYPE + "extensions.filters.http.ext_proc.v3.ExternalProcessor",
            "grpc_service": {"envoy_grpc": {"cluster_name": CLUSTER}, "timeout": "30s"},
            # Users wait for nothing here: Envoy sends copies and goes on.
            "observability_mode": True,
            "failure_mode_allow": True,
            # Without it Envoy keeps the stream for five seconds after the user has the answer.
            "deferred_close_timeout": "0.05s",
            "processing_mode": {
                "request_header_mode": "SEND", "response_header_mode": "SEND",
                "request_body_mode": "STREAMED", "response_body_mode": "STREAMED",
                "request_trailer_mode": "SKIP",
                "response_trailer_mode": "SEND" if has_trailers else "SKIP",
            },
        },
    }


def cluster(files: GatewayFiles) -> Json:
    """Return the shadow service as a cluster: gRPC over a socket that only the owner may use."""
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(files.tap_socket)}}}}
    return {
        "name": CLUSTER,
        "connect_timeout": "0.25s",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": _TYPE + "extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": {
                    "interval": PING_INTERVAL, "timeout": PING_TIMEOUT}}},
            }
        },
        # A stream that is not answered is closed after 50 ms; a service with more streams than it
        # can read in that time would spend all its time on streams that are gone.
        "circuit_breakers": {"thresholds": [{
            # HTTP/2 carries all streams over one connection.
            "max_connections": 1, "max_pending_requests": MOST_STREAMS,
            "max_requests": MOST_STREAMS}]},
        # A service that is gone or hangs is not called for each request that is tapped, which would
        # cost half as much as the request itself: after three failures in a row every five seconds.
        "outlier_detection": {
            "split_external_local_origin_errors": True, "consecutive_local_origin_failure": 3,
            "enforcing_consecutive_local_origin_failure": 100, "max_ejection_percent": 100,
            "base_ejection_time": "5s", "max_ejection_time": "5s", "interval": "1s",
            "consecutive_5xx": 0, "consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0, "enforcing_local_origin_success_rate": 0,
        },
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "load_assignment": {"cluster_name": CLUSTER,
                            "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def sampled(route: Json, sample: int) -> Json:
    """Return a route that `sample` of 10 000 requests take, tapped."""
    fraction = {"default_value": {"numerator": sample, "denominator": "TEN_THOUSAND"}}
    # All of them: then there is no number to draw for each request.
    if sample < BUCKETS:
        route = {**route, "match": {**route["match"], "runtime_fraction": fraction}}
    enabled = {"@type": _TYPE + "extensions.filters.http.ext_proc.v3.ExtProcPerRoute",
               "overrides": {}}
    return {**route, "typed_per_filter_config": {FILTER: enabled}}


def on_path(route: Json, path: str) -> Json:
    """Return a route for one path, or for all below it when it ends in `*`."""
    match = {key: value for key, value in route["match"].items() if key != "prefix"}
    kind = {"prefix": path[:-1]} if path.endswith("*") else {"path": path}
    return {**route, "match": {**kind, **match}}
