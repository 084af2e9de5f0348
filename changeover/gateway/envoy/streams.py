"""Long connections with the candidate, and how they are ended. Pure.

Envoy never ends a request that is under way: not when its route goes, nor when its cluster does.
But it ends what a listener has when that listener's configuration is replaced, after a grace
(`--drain-time-s`). So websockets, event streams, and those calls of gRPC that the plan names as
streams, reach the candidate through a second hop inside the same Envoy, over a Unix socket that
only the owner may use. There is one hop for each segment and one for everybody else, each with a
generation in its configuration. Whenever fewer of its users belong to the candidate, the
generation changes, and Envoy does the rest by itself, whatever becomes of the process that wrote
it. Decision 0044 says why. A named part of the traffic has one hop for all of its users: each hop
is a listener, and parts times segments would be many.

What is known of the hops stands in the version of their file, so that both change at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from changeover.domain.routing import BUCKETS, ON_USERS, Mode, RoutingState, System, place_of
from changeover.gateway.envoy import hop, protocol, time_limits
from changeover.gateway.envoy.choice import BASELINE, CANDIDATE_FIRST, of_part
from changeover.gateway.files import GatewayFiles
from changeover.plan.endpoint import HttpVersion
from changeover.plan.model import Plan
from changeover.plan.routes import RouteSpec

Json = dict[str, Any]

OTHERS = "-"
"""The hop of everybody who is in no segment; no segment is called so."""
HOPS = "candidate_streams_"
"""How the names of the hops' clusters begin."""
CALLS = "candidate_calls_"
"""The same for streams of gRPC, which come to the same hops in HTTP/2."""
GENERATION, ENDED_AT = "@GENERATION@", 4_444_444_444
"""Marks of a template: only texts are replaced, by those who have nothing but a shell."""
_FIRST = f"{CANDIDATE_FIRST}_streams_"
_FIRST_OF_CALLS = f"{CANDIDATE_FIRST}_calls_"
_TYPE = "type.googleapis.com/envoy."


@dataclass(frozen=True, slots=True)
class Hop:
    """What is known of one hop.

    Args:
        shares: How many of its users belong to the candidate, in numbers that fall when some go
            back: buckets, mostly.
        generation: Names those of its connections that go on.
        ended_at: Unix second in which those of the generation before were told to end.
    """

    shares: tuple[int, ...] = ()
    generation: str = "0"
    ended_at: int = 0


def groups(plan: Plan) -> list[str]:
    """Return whose connections can be ended alone: those of each segment, of each named part of
    the traffic, and all others.
    """
    parts = [of_part(each.name) for each in plan.routes if each.move != "never"]
    return [OTHERS, *plan.routing.segments, *parts]


def group_of_scope(scope: str) -> str | None:
    """Return the group that a rollback of a part is about; None for all of them."""
    kind, _, name = scope.partition(":")
    return {"segment": name, "route": of_part(name)}.get(kind)


def chosen(group: str) -> str:
    """Return the name of the cluster for users of a group that are meant for the candidate."""
    return f"{_FIRST}{group}"


def chosen_for_calls(group: str) -> str:
    """Return the same for streams of gRPC."""
    return f"{_FIRST_OF_CALLS}{group}"


def group_of(cluster: str) -> str | None:
    """Return the group by the cluster that Envoy chose; None for what is no long connection."""
    for first in (_FIRST, _FIRST_OF_CALLS):
        if cluster.startswith(first):
            return cluster.removeprefix(first)
    return None


def behind(plan: Plan) -> dict[str, list[str]]:
    """Return the aggregate clusters and what they are made of."""
    found = {chosen(group): [f"{HOPS}{group}", BASELINE] for group in groups(plan)}
    if plan.rollback.streams:
        found |= {chosen_for_calls(group): [f"{CALLS}{group}", BASELINE] for group in groups(plan)}
    return found


def next_hops(
    plan: Plan, state: RoutingState, present: Mapping[str, Hop], moment: float
) -> dict[str, Hop]:
    """Return the hops of a routing state; done again it changes nothing more.

    Args:
        plan: The migration's plan.
        state: The routing state that the gateway has, or is about to have.
        present: The hops so far.
        moment: The present moment, in Unix seconds.
    """
    found = {}
    for group in groups(plan):
        before, shares = present.get(group, Hop()), _shares(plan, state, group)
        found[group] = Hop(shares, before.generation, before.ended_at)
        if any(now < then for now, then in zip(shares, before.shares, strict=False)):
            # named by the state: written twice it is the same one
            found[group] = Hop(shares, f"{state.epoch}_{state.version}", int(moment))
    return found


def render(plan: Plan, files: GatewayFiles, hops: Mapping[str, Hop]) -> Json:
    """Return the hops' listeners as a discovery response, and those of the systems, which end
    nothing: they are always the same.
    """
    own = [_listener(plan, files, group, hops.get(group, Hop()).generation)
           for group in groups(plan)]
    return {
        "version_info": json.dumps({name: asdict(found) for name, found in hops.items()}),
        "resources": [{"@type": _TYPE + "config.listener.v3.Listener", **found}
                      for found in (*own, *hop.listeners(plan, files))],
    }


def template(plan: Plan, files: GatewayFiles) -> Json:
    """Return the listeners of a gateway whose users all go back, with marks for `filled`."""
    return render(plan, files, dict.fromkeys(groups(plan), Hop((), GENERATION, ENDED_AT)))


def filled(text: str, generation: str, now: float) -> str:
    """Return the text of a template with its marks replaced."""
    return text.replace(GENERATION, generation).replace(str(ENDED_AT), str(int(now)))


def known(response: Mapping[str, Any]) -> dict[str, Hop]:
    """Return the hops that a file of listeners is about.

    Raises:
        ValueError, KeyError, TypeError: It is not such a file.
    """
    found = json.loads(response["version_info"])
    return {name: Hop(**{**fields, "shares": tuple(fields["shares"])})
            for name, fields in found.items()}


def clusters(plan: Plan, files: GatewayFiles) -> list[Json]:
    """Return the clusters that lead to the hops."""
    kinds: dict[str, HttpVersion] = {HOPS: "http1"}
    if plan.rollback.streams:
        kinds[CALLS] = "http2"
    return [_cluster(f"{kind}{group}", _address(files, group), version)
            for kind, version in kinds.items() for group in groups(plan)]


def _shares(plan: Plan, state: RoutingState, group: str) -> tuple[int, ...]:
    for spec in plan.routes:
        if of_part(spec.name) == group:
            return _of_part(state, spec)
    if state.mode not in ON_USERS or group in state.kept:
        return (0,)
    if state.mode is Mode.CANDIDATE_ONLY:
        return (BUCKETS,)
    # who is in a moved segment and in the split belongs there by either
    of_segment = state.segment_weight if group in state.segments else 0
    return (max(state.weight, of_segment),)


def _of_part(state: RoutingState, spec: RouteSpec) -> tuple[int, ...]:
    """Return the part's shares: by the split, by segments, and less for each that was kept."""
    place, others = place_of(state, spec), BUCKETS - len(state.kept)
    if place is not None:
        return (place.buckets, 0, others) if place.buckets else (0, 0, 0)
    if state.mode is Mode.CANDIDATE_ONLY:
        return BUCKETS, BUCKETS, BUCKETS
    if state.mode not in ON_USERS:
        return 0, 0, 0
    return state.weight, state.segment_weight if state.segments else 0, others


def _address(files: GatewayFiles, group: str) -> Json:
    # a segment's name may be too long for a socket's
    short = hashlib.sha256(group.encode()).hexdigest()[:8]
    return {"pipe": {"path": str(files.stream_socket(short)), "mode": 0o600}}


def _listener(plan: Plan, files: GatewayFiles, group: str, generation: str) -> Json:
    return hop.hop(
        f"streams_{group}", _address(files, group), plan, System.CANDIDATE,
        # this is what changes: Envoy compares the whole configuration
        stat_prefix=f"streams.{group}.{generation}")


def _cluster(name: str, address: Json, version: HttpVersion) -> Json:
    return {
        "@type": _TYPE + "config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": time_limits.CONNECT,
        "type": "STATIC",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        # One connection for each: one that was kept could belong to a generation that ends.
        "typed_extension_protocol_options": protocol.towards_system(
            version, max_requests_per_connection=1),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address},
                 "metadata": {"filter_metadata": {"changeover": {"system": "candidate"}}}},
            ]}],
        },
    }
