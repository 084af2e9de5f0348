"""Whether everything that asks the two systems can reach them as the plan says. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.plan.hook_rules import hooks_of
from changeover.plan.location import Location
from changeover.plan.model import Plan
from changeover.plan.suites import LoadCheck, OpenApiCheck, SoakCheck
from changeover.plan.systems import SystemSpec

Found = tuple[Location, str]


def problems(plan: Plan) -> Iterator[Found]:
    """Yield what makes the systems' addresses impossible, alone and for those who ask them."""
    yield from _addresses_differ(plan)
    yield from _streams_without_http2(plan)
    for suite, checks in plan.suites.items():
        for index, check in enumerate(checks):
            path: Location = ("suites", suite, index)
            if isinstance(check, LoadCheck):
                yield from _loaded(plan, path, "candidate")
                if check.baseline:
                    yield from _loaded(plan, path, "baseline")
            elif isinstance(check, SoakCheck):
                yield from _loaded(plan, path, check.of)
            elif isinstance(check, OpenApiCheck):
                yield from _fuzzed(plan, path)
    for path, hooks in hooks_of(plan):
        for index, load in enumerate(hooks.during):
            if load.of != "gateway":
                yield from _loaded(plan, (*path, "during", index), load.of)


def _streams_without_http2(plan: Plan) -> Iterator[Found]:
    if plan.rollback.streams and plan.systems.candidate.protocol != "http2":
        yield (("rollback", "streams"),
               "`streams` are of gRPC, which needs HTTP/2, and systems.candidate speaks HTTP/1.1; "
               "remove it, or set `protocol: http2`")


def _addresses_differ(plan: Plan) -> Iterator[Found]:
    baseline, candidate = ({place.title for place in plan.system(name).places}
                           for name in ("baseline", "candidate"))
    # one server may have both, told apart by what each request says
    both = (plan.system(name) for name in ("baseline", "candidate"))
    is_one = len({(system.base_path, system.own_host) for system in both}) == 1
    for shared in sorted(baseline & candidate) if is_one else ():
        key = "url" if plan.systems.candidate.addresses is None else "addresses"
        yield (("systems", "candidate", key),
               f"{shared} is also the baseline's address; the two systems need different ones, or "
               "another path in `url`, or another `host`")
    for name, places in (("baseline", baseline), ("candidate", candidate)):
        if plan.routing.listen in places:
            yield (("routing", "listen"), f"{plan.routing.listen} is the {name}'s address; "
                   "the gateway needs its own")


def _loaded(plan: Plan, path: Location, name: str) -> Iterator[Found]:
    system = plan.system(name)
    why = "`protocol: http2`" if system.protocol == "http2" else ""
    if system.addresses is not None:
        why = "`addresses`"
    if why:
        yield path, (f"load is sent in HTTP/1.1 to one address, and systems.{name} has {why}; ask "
                     "the gateway with a hook's `of: gateway`, or use kind: command")


def _fuzzed(plan: Plan, path: Location) -> Iterator[Found]:
    if why := _beyond_requests(plan.systems.candidate):
        yield path, (f"kind: openapi cannot call systems.candidate, which has {why}; use "
                     "kind: command with a tool that can")


def _beyond_requests(system: SystemSpec) -> str:
    """Return the key of a system that a client of HTTP/1.1 with an address alone cannot follow."""
    if system.protocol == "http2":
        return "`protocol: http2`"
    if system.socket_path:
        return "a Unix socket"
    if system.addresses is not None:
        return "`addresses`"
    return "`tls`" if system.tls is not None else ""
