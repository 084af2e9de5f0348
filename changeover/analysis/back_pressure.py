"""Back-pressure: when a slow system gets no more users, and when it gets them again. Pure.

Each second one probe comes in and at most one action goes out. It cannot flap: a single bad probe
does nothing, only an unbroken row of good probes ends it, and each relapse doubles the length of
that row. The thread that probes and acts is `changeover.observer.back_pressure`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from changeover.plan.health import BackPressureSpec

LONGEST_GAP_SECONDS = 3.0
"""Probes further apart than this (a pause of the machine) say nothing about the time between."""
PROBE_SECONDS = 1.0
"""How long a good probe after such a gap counts for. With 0, back-pressure would never end for a
system whose probes are always late."""
RELAPSE_SECONDS = 60.0
"""Bad again within this time after it was good: a relapse."""
MOST_DOUBLINGS = 4


class Level(StrEnum):
    """How a system is treated; a later one is worse."""

    NORMAL = "normal"
    SLOW = "slow"  # back-pressure: it gets no work until it is well
    FROZEN = "frozen"  # back-pressure and the emergency levers


_ORDER = list(Level)


@dataclass(frozen=True, slots=True)
class BackPressureState:
    """What is remembered from probe to probe. Times are seconds of one clock.

    Args:
        level: How the system is treated now.
        slow: Probes in a row that were slow or not answered.
        frozen: Probes in a row that were not answered.
        good: Seconds that the unbroken row of good probes counts for; None while there is none.
        last: When the last probe was; None before the first.
        relapses: How often it became bad again shortly after it was good.
        released: When back-pressure last ended; None before the first time.
    """

    level: Level = Level.NORMAL
    slow: int = 0
    frozen: int = 0
    good: float | None = None
    last: float | None = None
    relapses: int = 0
    released: float | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """From now on the system is treated as `level`, because of `reason`."""

    level: Level
    reason: str


_Step = tuple[BackPressureState, Action]


def judge(spec: BackPressureSpec, seconds: float | None) -> Level:
    """Return what one probe says: seconds until its answer, None when there was none in time."""
    if seconds is None or seconds >= spec.frozen.total_seconds():
        return Level.FROZEN
    return Level.SLOW if seconds > spec.slow.total_seconds() else Level.NORMAL


def good_for(spec: BackPressureSpec, state: BackPressureState) -> float:
    """Return how many seconds of good probes end back-pressure: doubled by each relapse."""
    doublings = min(state.relapses, MOST_DOUBLINGS)
    return spec.good_for.total_seconds() * float(2**doublings)


def decide(
    spec: BackPressureSpec, state: BackPressureState, seconds: float | None, now: float
) -> tuple[BackPressureState, Action | None]:
    """Evaluate one probe: return the next state, and what is to be done if anything.

    Args:
        spec: The plan's `health.back_pressure`.
        state: The state before.
        seconds: How long the answer took; None when none came in time.
        now: When the probe ended, in seconds.
    """
    found = judge(spec, seconds)
    # A clock that was set back is a gap as well: the time between is unknown.
    is_on_time = state.last is not None and 0 <= now - state.last <= LONGEST_GAP_SECONDS
    has_gap = not is_on_time
    slow, frozen = (0, 0) if has_gap else (state.slow, state.frozen)
    is_good = found is Level.NORMAL
    vouched = 0.0
    if state.good is not None and state.last is not None:
        vouched = state.good + (PROBE_SECONDS if has_gap else now - state.last)
    state = replace(
        state, last=now,
        slow=0 if is_good else slow + 1,
        # A slow answer is an answer: only none at all keeps the frozen row going.
        frozen=frozen + 1 if found is Level.FROZEN else 0,
        good=vouched if is_good else None,
    )
    return _relieve(spec, state, now) or _release(spec, state, now) or (state, None)


def _relieve(spec: BackPressureSpec, state: BackPressureState, now: float) -> _Step | None:
    """Return the step to a worse level when enough probes in a row were bad."""
    wanted, row, what = Level.NORMAL, 0, ""
    if state.frozen >= spec.bad_probes:
        wanted, row = Level.FROZEN, state.frozen
        what = f"no answer within {_milliseconds(spec.frozen.total_seconds())}"
    elif state.slow >= spec.bad_probes:
        wanted, row = Level.SLOW, state.slow
        what = f"slower than {_milliseconds(spec.slow.total_seconds())}"
    # Only good probes make it better: a frozen system that answers slowly stays relieved.
    if _ORDER.index(wanted) <= _ORDER.index(state.level):
        return None
    relapses = state.relapses
    if state.level is Level.NORMAL:
        released = state.released
        is_relapse = released is not None and 0 <= now - released <= RELAPSE_SECONDS
        relapses = min(relapses + 1, MOST_DOUBLINGS) if is_relapse else 0
    reason = f"{what} in {row} probes in a row"
    return replace(state, level=wanted, relapses=relapses), Action(wanted, reason)


def _release(spec: BackPressureSpec, state: BackPressureState, now: float) -> _Step | None:
    """Return the step back to normal when the probes were good for long enough."""
    if state.level is Level.NORMAL or state.good is None:
        return None
    needed = good_for(spec, state)
    if state.good < needed:
        return None
    again = f", longer after {state.relapses} relapses" if state.relapses else ""
    reason = f"good probes for {needed:g} s{again}"
    state = replace(state, level=Level.NORMAL, released=now)
    return state, Action(Level.NORMAL, reason)


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:g} ms"
