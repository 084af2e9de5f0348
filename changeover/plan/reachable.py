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


def _addresses_differ(plan: Plan) -> Iterator[Found]:
    baseline, candidate = (plan.system(name).url.rstrip("/") for name in ("baseline", "candidate"))
    if baseline == candidate:
        yield (("systems", "candidate", "url"),
               f"{candidate} is also the baseline's address; the two systems need different ones")
    for name, url in (("baseline", baseline), ("candidate", candidate)):
        if url.partition("://")[2] == plan.routing.listen:
            yield (("routing", "listen"), f"{plan.routing.listen} is the {name}'s address; "
                   "the gateway needs its own")


def _loaded(plan: Plan, path: Location, name: str) -> Iterator[Found]:
    if plan.system(name).protocol == "http2":
        yield path, (f"load is sent in HTTP/1.1, and systems.{name} has `protocol: http2`; ask the "
                     "gateway with a hook's `of: gateway`, which speaks both, or use kind: command")


def _fuzzed(plan: Plan, path: Location) -> Iterator[Found]:
    if why := _beyond_requests(plan.systems.candidate):
        yield path, (f"kind: openapi cannot call systems.candidate, which has {why}; use "
                     "kind: command with a tool that can")


def _beyond_requests(system: SystemSpec) -> str:
    """Return the key of a system that a client of HTTP/1.1 with an address alone cannot follow."""
    if system.protocol == "http2":
        return "`protocol: http2`"
    return "`tls`" if system.tls is not None else ""
