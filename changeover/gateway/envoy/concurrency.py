"""The candidate's hard concurrency limit, and the baseline's answer for what is above it. Pure.

Envoy never retries a request that its circuit breaker refused, so a limit on the cluster that
users are sent to would answer them 503. With a limit the candidate is therefore reached through a
second hop inside the same Envoy, over a Unix socket that only the owner may use. The breaker is
behind it. What it refuses comes back to the users' route as an answer with a header that says that
nothing was sent; such a request is retried at the baseline, whatever its method.
Decision 0008 has the figures.
"""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy import protocol
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan

Json = dict[str, Any]

LIMITED = "candidate_limited"
NOT_SENT = "x-changeover-not-sent"
OVERFLOW_STATUS = 429
"""Not a 5xx: a full candidate is not a broken one, and must not be ejected for it."""
_TYPE = "type.googleapis.com/envoy."
_HCM = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def is_limited(plan: Plan) -> bool:
    """Whether the candidate is reached through the second hop."""
    return plan.systems.candidate.concurrency is not None


def retriable() -> Json:
    """Return what makes the users' route try again what was never sent."""
    return {"retriable_headers": [{"name": NOT_SENT, "present_match": True}]}


def address(files: GatewayFiles) -> Json:
    """Return where the second hop listens."""
    return {"pipe": {"path": str(files.limit_socket), "mode": 0o600}}


def listener(files: GatewayFiles) -> Json:
    """Return the second hop: everything goes to the candidate's own cluster, unchanged."""
    return hop("limited", address(files), LIMITED, stat_prefix="limited")


def hop(name: str, at: Json, cluster: str, *, stat_prefix: str) -> Json:
    """Return a listener that sends everything to one cluster of the candidate, unchanged.

    What it could not send at all, it says so in a header, by which the users' route tries again.

    Args:
        name: Name of the listener.
        at: Where it listens.
        cluster: The candidate's cluster.
        stat_prefix: Names its statistics.
    """
    manager = _manager(cluster, stat_prefix)
    return {
        "name": name,
        "address": at,
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager", "typed_config": manager,
        }]}],
    }


def _manager(cluster: str, stat_prefix: str) -> Json:
    return {
        "@type": _TYPE + _HCM,
        "stat_prefix": stat_prefix,
        "codec_type": "AUTO",
        # The users' listener has already set these headers; here they go through unchanged.
        "use_remote_address": False,
        "skip_xff_append": True,
        "generate_request_id": False,
        "preserve_external_request_id": True,
        "server_header_transformation": "PASS_THROUGH",
        # The users' route limits silence, by the plan.
        "stream_idle_timeout": "0s",
        # Long enough to read why a request was refused; a broken answer is not seen much later.
        "delayed_close_timeout": "0.1s",
        # A request at the user's limit arrives with the gateway's headers on top.
        "common_http_protocol_options": protocol.common(spare=20),
        **protocol.accepted(),
        "local_reply_config": {"mappers": _not_sent()},
        # The candidate's cluster comes from a watched file, which Envoy reads later.
        "route_config": {"name": "limited", "validate_clusters": False, "virtual_hosts": [{
            "name": "candidate", "domains": ["*"], "routes": [_route(cluster)]}]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": _TYPE + "extensions.filters.http.router.v3.Router",
                "suppress_envoy_headers": True,
            },
        }],
    }


def _not_sent() -> list[Json]:
    """Return how the hop marks its own answers: the users' route may try these again."""
    return [
        # A full candidate: nothing was sent.
        _mapper(["UO"], {"status_code": OVERFLOW_STATUS}),
        # A dead one: nothing was sent either, and it counts as its failure.
        _mapper(["UF", "UH"], {}),
    ]


def _route(cluster: str) -> Json:
    return {
        "name": "limited",
        "match": {"prefix": "/"},
        # The candidate itself may never say that nothing was sent: it would run twice.
        "response_headers_to_remove": [NOT_SENT],
        "route": {
            "cluster": cluster,
            "timeout": "0s",  # the users' route has the limits
            # An idle connection may close at the very moment it is used: nothing was sent then.
            "retry_policy": {"retry_on": "reset-before-request", "num_retries": 1},
            "upgrade_configs": [{"upgrade_type": "websocket"}],
        },
    }


def _mapper(flags: list[str], also: Json) -> Json:
    return {
        "filter": {"response_flag_filter": {"flags": flags}},
        "headers_to_add": [{"header": {"key": NOT_SENT, "value": "1"},
                            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
        **also,
    }
