"""The routes of a routing state: for whom, to which system, tried again or not. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from changeover.domain.routing import BUCKETS, SPLIT, Mode, RoutingState, System, place_of
from changeover.gateway.envoy import (
    choice,
    endpoints,
    grpc,
    hop,
    retries,
    streams,
    tap,
    time_limits,
    user_key,
)
from changeover.gateway.envoy.matching import of_segment, string
from changeover.plan.model import Plan
from changeover.plan.routes import RouteSpec

Json = dict[str, Any]

LONGEST_REASON = 1_000
"""Characters of a maintenance reason that users see."""


def routes(plan: Plan, state: RoutingState) -> list[Json]:
    """Return the routes of requests without a name of their own, as Envoy tries them."""
    return [_maintenance(state)] if state.maintenance else _of_rest(plan, state, "")


def routes_of(plan: Plan, state: RoutingState, spec: RouteSpec) -> list[Json]:
    """Return the routes of a named part of the traffic, as Envoy tries them; not in maintenance."""
    plan = time_limits.with_limits_of(plan, spec)
    place, mark = place_of(state, spec), choice.of_part(spec.name)
    if place is None:
        return _of_rest(plan, state, mark)
    sample = _sample(plan, state)
    baseline = _Target("baseline", 0, sample, mark + (choice.KEPT if place.is_kept else ""))
    if not place.buckets:
        return _pair(plan, baseline, [])
    found = _kept_users(plan, state, mark)
    if place.buckets == BUCKETS:
        return found + _pair(plan, _Target("candidate", BUCKETS, why=mark, group=mark), [])
    found += _split(plan, _Target("split", place.buckets, sample, mark, group=mark), [])
    return found + _pair(plan, baseline, [])


def _sample(plan: Plan, state: RoutingState) -> int:
    return state.copied if plan.shadow is not None else 0


def _kept_users(plan: Plan, state: RoutingState, mark: str) -> list[Json]:
    # Envoy takes the first route that matches: who was rolled back comes before everyone else.
    found: list[Json] = []
    for name in state.kept:
        users = of_segment(plan.routing.segments[name])
        target = _Target("baseline", 0, _sample(plan, state), mark + choice.KEPT)
        found += _pair(plan, target, [users])
    return found


def _of_rest(plan: Plan, state: RoutingState, mark: str) -> list[Json]:
    """Return the routes of requests that are where everything without a place of its own is."""
    group = mark or streams.OTHERS
    if state.mode is Mode.CANDIDATE_ONLY:
        return _pair(plan, _Target("candidate", BUCKETS, why=mark, group=group), [])
    sample = _sample(plan, state)
    baseline = _Target("baseline", 0, sample, mark)
    if state.mode not in SPLIT:
        return _pair(plan, baseline, [])
    found = _kept_users(plan, state, mark)
    for name in state.segments:
        users = of_segment(plan.routing.segments[name])
        if state.segment_weight == BUCKETS:
            found += _pair(
                plan, _Target("candidate", BUCKETS, why=mark, group=mark or name), [users])
        elif state.segment_weight:
            found += _split(plan, _Target(
                "split", state.segment_weight, why=mark, group=mark or name), [users])
    if state.weight:
        found += [] if mark else _endless_of_segments(plan, state)
        found += _split(plan, _Target("split", state.weight, sample, mark, group=group), [])
    return found + _pair(plan, baseline, [])


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a route leads: to a system, or to both by the user's bucket (`split`).

    Args:
        name: `baseline`, `candidate` or `split`.
        buckets: How many of the 10,000 buckets go to the candidate.
        sample: How many buckets of requests have their answers tapped for comparison.
        why: What stands behind the route's name, for those who read the log: the named part of the
            traffic, and whether it was rolled back.
        decided: The system that the route's own match has chosen already; '' for none.
        group: With whose long connections theirs are ended.
    """

    name: str
    buckets: int
    sample: int = 0
    why: str = ""
    decided: str = ""
    group: str = streams.OTHERS

    @property
    def specified(self) -> str:
        """What Envoy is asked to choose from."""
        return self.decided or self.name


def _endless_of_segments(plan: Plan, state: RoutingState) -> list[Json]:
    """Return the routes of long connections of segments whose users the split decides about.

    They can be taken back alone like those of a segment that has moved.
    """
    found: list[Json] = []
    for name, segment in plan.routing.segments.items():
        if name not in (*state.segments, *state.kept):
            target = _Target("split", state.weight, group=name)
            for decided, of_key in user_key.split(plan, state.weight):
                mine, users = replace(target, decided=decided), [of_segment(segment), *of_key]
                found += _endless(plan, mine, users) + _streams_of_calls(plan, mine, users)
    return found


def _split(plan: Plan, target: _Target, headers: list[Json]) -> list[Json]:
    """Return the routes of users whom the key decides about."""
    found: list[Json] = []
    for decided, of_key in user_key.split(plan, target.buckets):
        # Who is on the candidate has no baseline's answer to compare with.
        sample = 0 if decided == "candidate" else target.sample
        found += _pair(plan, replace(target, sample=sample, decided=decided),
                       [*headers, *of_key])
    return found


def _tapped(plan: Plan, target: _Target, headers: list[Json]) -> list[Json]:
    """Return copies of routes that a sample of requests takes, and that are tapped."""
    # Everyone is on the candidate: there is no baseline's answer to compare with.
    never_baseline = target.name == "split" and target.buckets == BUCKETS
    if not target.sample or plan.shadow is None or never_baseline:
        return []
    listed: list[tuple[str, str]] = [(method, "/*") for method in plan.shadow.methods]
    for entry in plan.shadow.replay_unsafe:
        method, path = entry.split(" ", 1)
        listed.append((method, path))
    tapped = []
    for method, path in listed:
        copied = partial(_copied, plan, target, headers, method, path)
        if method == "POST":
            # The same limits with a copy as without one.
            tapped += grpc.routes(plan, copied)
        tapped.append(copied())
    return tapped


def _copied(
    plan: Plan, target: _Target, headers: list[Json], method: str, path: str, *kinds: Json
) -> Json:
    """Return the route of those requests of a method and path that are copied."""
    of_method = [*kinds, string(":method", {"exact": method}), tap.NOT_UPGRADED, *headers]
    # A listed GET stays safe: a tapped user must not lose the second attempt for it.
    found = _route(plan, target, of_method, is_safe=method in retries.SAFE_METHODS)
    return tap.sampled(tap.on_path(found, path), target.sample)


def _pair(plan: Plan, target: _Target, headers: list[Json]) -> list[Json]:
    """Return the routes of one target for safe and for all other methods, endless ones first."""
    # Most requests are GETs: comparing a word is cheaper than a regular expression.
    get = string(":method", {"exact": "GET"})
    return [
        *_endless(plan, target, headers),
        *_streams_of_calls(plan, target, headers),
        *_tapped(plan, target, headers),
        *grpc.routes(plan, lambda kind: _route(plan, target, [kind, *headers], is_safe=False)),
        _route(plan, target, [get, *headers], is_safe=True),
        _route(plan, target, [*headers, retries.IS_SAFE], is_safe=True),
        _route(plan, target, headers, is_safe=False),
    ]


def _streams_of_calls(plan: Plan, target: _Target, headers: list[Json]) -> list[Json]:
    """Return the routes of one target for calls of gRPC that the plan names as streams.

    They reach the candidate by a hop, as `_endless` ones; other calls take the shorter way.
    """
    def made(kind: Json) -> Json:
        mine = [kind, grpc.of_streams(plan), *headers]
        route = _route(plan, target, mine, is_safe=False)
        return {**route, "route": {
            **route["route"],
            "inline_cluster_specifier_plugin": choice.specifier(
                target.specified, target.buckets, streams.chosen_for_calls(target.group)),
            "retry_policy": _retry(plan, target.specified, is_safe=False, is_hop=True)}}

    return grpc.routes(plan, made) if plan.rollback.streams else []


def _endless(plan: Plan, target: _Target, headers: list[Json]) -> list[Json]:
    """Return the routes of one target for answers that never end."""
    endless = (
        string("accept", {"contains": "text/event-stream"}),
        string("upgrade", {"exact": "websocket", "ignore_case": True}),
    )
    routes = []
    for kind in endless:
        safe = [kind, *headers, retries.IS_SAFE]
        for match, is_safe in ((safe, True), ([kind, *headers], False)):
            found = _route(plan, target, match, is_safe=is_safe)
            routes.append(_without_limit(plan, target, found, is_safe=is_safe))
    return routes


def _without_limit(plan: Plan, target: _Target, route: Json, *, is_safe: bool) -> Json:
    """Return a route for answers that never end: only their silence is limited, generously.

    They reach the candidate by a hop of their own, where they can be ended.
    """
    policy = _retry(plan, target.specified, is_safe=is_safe, is_hop=True)
    action = {
        **route["route"],
        "inline_cluster_specifier_plugin": choice.specifier(
            target.specified, target.buckets, streams.chosen(target.group)),
        "retry_policy": policy,
        "idle_timeout": time_limits.LONG_LIVED,
    }
    if action["retry_policy"]["per_try_timeout"] == time_limits.beginning(plan):
        action["retry_policy"] = {**action["retry_policy"], "per_try_timeout": "0s"}
    return {**route, "route": action}


def _route(plan: Plan, target: _Target, headers: list[Json], *, is_safe: bool) -> Json:
    kind = "safe" if is_safe else "unsafe"
    return {
        "name": f"{target.name}:{target.buckets}:{kind}{target.why}",
        "match": {"prefix": "/", "headers": headers},
        "route": {
            "inline_cluster_specifier_plugin": choice.specifier(target.specified, target.buckets),
            "hash_policy": [{"header": {"header_name": user_key.hashed_header(plan)}}],
            # It would count the user's reading: see `time_limits`.
            "timeout": "0s",
            "idle_timeout": time_limits.silence(plan),
            "retry_policy": _retry(plan, target.specified, is_safe=is_safe),
            "upgrade_configs": [{"upgrade_type": "websocket"}],
        },
    }


def _retry(plan: Plan, target: str, *, is_safe: bool, is_hop: bool = False) -> Json:
    """Return when a request is retried: never when it may have run already, unless it is safe."""
    policy: Json = {
        "retry_on": retries.FAILED_AT_ALL if is_safe else retries.FAILED_BEFORE_SENT,
        "num_retries": 1,
        # Otherwise the second attempt goes to the cluster that just failed.
        "refresh_cluster_on_retry": True,
        # A user waits for this; the other system needs no time to recover.
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.005s"},
        "per_try_timeout": time_limits.beginning(plan),
    }
    if plan.systems.baseline.addresses is not None:
        policy |= endpoints.another_host()
    # A request that is not safe gets no second attempt after this: nothing is won by giving up.
    if is_safe and target != "baseline":
        policy["per_try_timeout"] = time_limits.attempt(plan)
    if (is_hop and target != "baseline") or _may_be_behind_hop(plan, target):
        policy["retry_on"] += ",retriable-headers"
        policy |= hop.retriable()
    return policy


def _may_be_behind_hop(plan: Plan, target: str) -> bool:
    asked = System if target == "split" else [System(target)]
    return any(hop.has(plan, name) for name in asked)


def _maintenance(state: RoutingState) -> Json:
    reason = state.maintenance_reason[:LONGEST_REASON] or "maintenance"
    return {
        "name": "maintenance:0:all",
        "match": {"prefix": "/"},
        "direct_response": {
            "status": 503,
            "body": {"inline_string": json.dumps({"error": "maintenance", "reason": reason})},
        },
        "response_headers_to_add": [
            {"header": {"key": "retry-after", "value": "60"}},
            {"header": {"key": "content-type", "value": "application/json"},
             # Envoy sets text/plain on its own answers.
             "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        ],
    }
