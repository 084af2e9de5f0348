"""What an action would do to users, in numbers: from the samples of an hour. Pure.

What nobody has measured is said to be unknown; nothing is guessed in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from changeover.analysis.distinct import Users
from changeover.domain.routing import BUCKETS, SPLIT, Mode, RoutingState
from changeover.plan.units import format_duration, format_percent

OVER = timedelta(hours=1)
LEAST = timedelta(minutes=1)
"""Less than this says nothing of an hour."""
UNKNOWN = "How many users that is, is unknown: nobody has measured traffic in the last hour."


@dataclass(frozen=True, slots=True)
class Counted:
    """Requests, and the different users who sent them."""

    requests: int
    users: Users


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the gateway saw in the last hour, of both systems together.

    Args:
        measured: How much of the hour was measured.
        total: All users.
        segments: Those of a segment, where its requests are counted apart.
    """

    measured: timedelta = timedelta(0)
    total: Counted = Counted(0, Users(0, is_exact=True))
    segments: Mapping[str, Counted] = field(default_factory=dict)

    @property
    def is_known(self) -> bool:
        """Whether anything can be said."""
        return self.measured >= LEAST

    @property
    def per(self) -> str:
        """The time that the numbers are of, in words."""
        # an observer that was restarted misses some seconds
        if self.measured >= OVER * 0.95:
            return "an hour"
        minutes = timedelta(minutes=round(self.measured / timedelta(minutes=1)))
        return f"in the {format_duration(max(LEAST, minutes))} that were measured"


def moved(traffic: Traffic, before: RoutingState, after: RoutingState) -> list[str]:
    """Return whom a change of the routing state moves, in sentences with numbers.

    Args:
        traffic: What was measured.
        before: The present state.
        after: The state after it.
    """
    change = _weight(after) - _weight(before)
    lines: list[str] = []
    if change:
        lines.append(_share(traffic, change))
    for name in _others(before, after):
        lines.append(_segment(traffic, name))
    for name in _others(after, before):
        lines.append(f"Users of segment {name} move to the candidate.")
    return [*lines, *_routes(before, after)] or ["No user changes the system."]


def everyone(traffic: Traffic) -> str:
    """Return how many users meet what everybody meets."""
    if not traffic.is_known:
        return UNKNOWN
    total = traffic.total
    return f"That is {total.users.text} {traffic.per} ({total.requests:,} requests)."


def _weight(state: RoutingState) -> int:
    return BUCKETS if state.mode is Mode.CANDIDATE_ONLY else state.weight


def _others(state: RoutingState, other: RoutingState) -> list[str]:
    """Return the segments that one state has at the candidate by name, and the other has not."""
    if state.mode not in SPLIT:
        return []
    # where everyone is at the candidate, no segment goes anywhere by its name
    if other.mode is Mode.CANDIDATE_ONLY:
        return []
    left = other.segments if other.mode in SPLIT else ()
    gone = [name for name in state.segments if name not in left]
    # kept at the baseline from now on, also those who were moved by their bucket
    kept = [name for name in other.kept if name not in (*state.kept, *gone)]
    return gone + kept


def _routes(before: RoutingState, after: RoutingState) -> list[str]:
    """Return what happens to routes that have a place of their own."""
    found = [f"Route {name} goes back to the baseline, for everyone."
             for name in after.kept_routes if name not in before.kept_routes]
    # of everyone's rollback it is enough to say that everyone goes back
    if after.mode not in SPLIT:
        return found
    for name in dict((*before.routes, *after.routes)):
        old, new = before.buckets_of(name), after.buckets_of(name)
        if old != new and name not in after.kept_routes:
            found.append(f"Route {name} goes from {format_percent(old)} to {format_percent(new)}.")
    return found


def _share(traffic: Traffic, change: int) -> str:
    where = "to the candidate" if change > 0 else "back to the baseline"
    share = abs(change) / BUCKETS
    if not traffic.is_known:
        return f"Moves {format_percent(abs(change))} of the users {where}. {UNKNOWN}"
    users = traffic.total.users.part(share)
    requests = round(traffic.total.requests * share)
    said = f"Moves {users.text} {traffic.per} {where}"
    return f"{said}: {format_percent(abs(change))} of all, {requests:,} requests."


def _segment(traffic: Traffic, name: str) -> str:
    known = traffic.segments.get(name)
    if known is None or not traffic.is_known:
        return (
            f"Users of segment {name} go back to the baseline; "
            "how many they are is unknown: they are not counted apart.")
    said = f"Moves {known.users.text} of segment {name} {traffic.per} back to the baseline"
    return f"{said} ({known.requests:,} requests), where some may be already."
