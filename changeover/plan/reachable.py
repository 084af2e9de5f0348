"""Whether the systems' addresses and what is asked of them fit each other. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.plan.location import Location
from changeover.plan.model import Plan

Found = tuple[Location, str]


def problems(plan: Plan) -> Iterator[Found]:
    """Yield what makes the systems' addresses impossible."""
    yield from _addresses_differ(plan)
    yield from _streams_without_http2(plan)


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
