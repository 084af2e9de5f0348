"""The second hop inside the same Envoy that stands before a system, where one is needed. Pure.

One route of users serves both systems, and a second attempt, an ejected candidate or back-pressure
send the same request to the other one. So what only one system may see or suffer is done behind a
Unix socket that only the owner may use, where it is certain whose request it is:

- The candidate's hard concurrency limit. Envoy never retries a request that its circuit breaker
  refused, so a limit on the cluster that users are sent to would answer them 503. What the breaker
  behind the hop refuses comes back to the users' route as an answer with a header that says that
  nothing was sent; such a request is tried again at the baseline, whatever its method.
- Another path or host than the one that users sent (`rewriting`).

Decisions 0008 and 0047 have the reasons and the figures.
"""

from __future__ import annotations

from typing import Any

from changeover.domain.routing import System
from changeover.gateway.envoy import endpoints, protocol, retries, rewriting
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec

Json = dict[str, Any]

NOT_SENT = "x-changeover-not-sent"
FLAGS = "x-changeover-flags"
"""Says of the hop's own answers how they came to be, in Envoy's flags: `UF`."""
OVERFLOW_STATUS = 429
"""Not a 5xx: a full candidate is not a broken one, and must not be ejected for it."""
_NOTES, _NOTED, _FIELD = "changeover", "hop", "e"
_TYPE = "type.googleapis.com/envoy."
_HCM = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def has(plan: Plan, name: System) -> bool:
    """Whether a system is reached through the second hop."""
    is_limited = name is System.CANDIDATE and plan.systems.candidate.concurrency is not None
    return is_limited or rewriting.is_needed(plan, name)


def behind(name: System) -> str:
    """Return the name of the cluster that the hop of a system leads to."""
    return f"{name}_behind"


def retriable() -> Json:
    """Return what makes the users' route try again what was never sent."""
    return {"retriable_headers": [{"name": NOT_SENT, "present_match": True}]}


def address(files: GatewayFiles, name: System) -> Json:
    """Return where the hop of a system listens."""
    return {"pipe": {"path": str(files.hop_socket(name)), "mode": 0o600}}


def listeners(plan: Plan, files: GatewayFiles) -> list[Json]:
    """Return the second hops before the systems that need one."""
    return [hop(f"{name}_hop", address(files, name), plan, name, stat_prefix=f"{name}_hop")
            for name in System if has(plan, name)]


def hop(name: str, at: Json, plan: Plan, system: System, *, stat_prefix: str) -> Json:
    """Return a listener that sends everything to a system, as that is to see it.

    What it could not send at all, it says so in a header, by which the users' route tries again.

    Args:
        name: Name of the listener.
        at: Where it listens.
        plan: The migration's plan.
        system: Whose requests these are.
        stat_prefix: Names its statistics.
    """
    return {
        "name": name,
        "address": at,
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": _manager(plan, system, stat_prefix),
        }]}],
    }


def filters() -> list[Json]:
    """Return the users' filter that notes the flags of a hop's answer, and takes them off.

    It is there without a hop, too: an Envoy that runs on may get one from a later plan.
    """
    noted = {"metadata_namespace": _NOTES, "key": _NOTED, "type": "STRING"}
    return [{"name": "envoy.filters.http.header_to_metadata", "typed_config": {
        "@type": _TYPE + "extensions.filters.http.header_to_metadata.v3.Config",
        "response_rules": [{"header": FLAGS, "on_header_present": noted, "remove": True}],
    }}]


def log_field() -> Json:
    """Return the log's field with these flags."""
    return {_FIELD: f"%DYNAMIC_METADATA({_NOTES}:{_NOTED})%"}


def flags_in(line: Json) -> frozenset[str]:
    """Return Envoy's flags in a line of the log; what a hop said of its own answer is one of them,
    as if there were no hop.
    """
    found = (line.get("f") or "-").split(",")
    if of_hop := line.get(_FIELD):
        found += of_hop.split(",")
    return frozenset(found) - {"-"}


def removed() -> Json:
    """Return what the users' routes take off answers that nobody was asked again after."""
    return {"response_headers_to_remove": [NOT_SENT]}


def _manager(plan: Plan, system: System, stat_prefix: str) -> Json:
    cluster = behind(system) if has(plan, system) else str(system)
    host = rewriting.virtual_host(plan, system, _routes(plan.system(system), cluster))
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
        # A websocket for a system of HTTP/2 comes to its hop as extended CONNECT.
        "http2_protocol_options": {"allow_connect": True},
        "local_reply_config": {"mappers": _own_answers()},
        # The system's cluster comes from a watched file, which Envoy reads later.
        "route_config": {"name": "hop", "validate_clusters": False, "virtual_hosts": [host]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {
                "@type": _TYPE + "extensions.filters.http.router.v3.Router",
                # no system sees the path as it was before
                "suppress_envoy_headers": True,
            },
        }],
    }


def _own_answers() -> list[Json]:
    """Return how the hop marks its own answers: which of them the users' route may try again."""
    not_sent, flags = {NOT_SENT: "1"}, {FLAGS: "%RESPONSE_FLAGS%"}
    return [
        # A full candidate: nothing was sent.
        {**_mapper(["UO"], {**not_sent, **flags}), "status_code": OVERFLOW_STATUS},
        # A dead one: nothing was sent either, and it counts as its failure.
        _mapper(["UF", "UH"], {**not_sent, **flags}),
        _mapper([], flags),
    ]


def _mapper(flags: list[str], marks: dict[str, str]) -> Json:
    return {
        # without flags: whatever has one
        "filter": {"response_flag_filter": {"flags": flags}},
        "headers_to_add": [{"header": {"key": key, "value": value},
                            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
                           for key, value in marks.items()],
    }


def _routes(spec: SystemSpec, cluster: str) -> list[Json]:
    """Return the routes to a system, before anything of a request is changed."""
    # An idle connection may close at the very moment it is used: nothing was sent then.
    once: Json = {"retry_on": "reset-before-request", "num_retries": 1}
    if spec.addresses is None or cluster != behind(System.BASELINE):
        return [_route(cluster, once)]
    # There is nobody else to ask, and only here it is known which address was asked.
    another = {**once, **endpoints.another_host()}
    safe = _route(cluster, {**another, "retry_on": retries.FAILED_AT_ALL})
    safe["match"]["headers"] = [retries.IS_SAFE]
    return [safe, _route(cluster, {**another, "retry_on": retries.FAILED_BEFORE_SENT})]


def _route(cluster: str, policy: Json) -> Json:
    return {
        "name": "hop",
        "match": {"prefix": "/"},
        # The system itself may never say that nothing was sent: it would run twice.
        "response_headers_to_remove": [NOT_SENT, FLAGS],
        "route": {
            "cluster": cluster,
            "timeout": "0s",  # the users' route has the limits
            "retry_policy": policy,
            "upgrade_configs": [{"upgrade_type": "websocket"}],
        },
    }
