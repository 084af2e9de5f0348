"""Which system answers whom: modes, allowed transitions, buckets, `decide`. Pure.

The gateway, flags, the command line and reports all derive from these rules, so they always agree.
Writing the state is `changeover.store.routing`; carrying it to Envoy is `changeover.gateway`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from changeover.domain.buckets import BLANKS as BLANKS
from changeover.domain.buckets import BUCKETS as BUCKETS
from changeover.domain.buckets import Key as Key
from changeover.domain.buckets import bucket as bucket
from changeover.domain.buckets import digest as digest
from changeover.domain.buckets import number_of
from changeover.domain.buckets import values_of as values_of
from changeover.domain.closed_ways import NEXT_STEP, why_not
from changeover.errors import InvalidInput, StaleEpoch, TransitionRefused
from changeover.plan.members import ALL, COPIED, NONE, SHARE, Reach
from changeover.plan.routing import HASHED, KeyRule
from changeover.plan.units import format_percent


class System(StrEnum):
    """One of the two systems of a migration."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"


class Mode(StrEnum):
    """What the two systems do for users."""

    BASELINE_ONLY = "baseline_only"  # the baseline answers everyone; where every migration starts
    SHADOW = "shadow"  # as before; the candidate gets copies of a sample
    PARALLEL = "parallel"  # both process; users get the baseline's answer
    GRADUAL = "gradual"  # a percentage of users and the named segments get the candidate
    CANDIDATE_ONLY = "candidate_only"  # the candidate answers everyone
    RETURNING = "returning"  # a rollback in steps: ever fewer users get the candidate
    EMERGENCY_ROLLBACK = "emergency_rollback"  # the baseline answers all until a person says so


M = Mode
TRANSITIONS: dict[Mode, frozenset[Mode]] = {
    M.BASELINE_ONLY: frozenset({M.SHADOW, M.PARALLEL, M.GRADUAL, M.EMERGENCY_ROLLBACK}),
    M.SHADOW: frozenset({M.BASELINE_ONLY, M.PARALLEL, M.GRADUAL, M.EMERGENCY_ROLLBACK}),
    M.PARALLEL: frozenset({M.BASELINE_ONLY, M.SHADOW, M.GRADUAL, M.EMERGENCY_ROLLBACK}),
    M.GRADUAL: frozenset({M.GRADUAL, M.CANDIDATE_ONLY, M.BASELINE_ONLY, M.RETURNING,
                          M.EMERGENCY_ROLLBACK}),
    M.CANDIDATE_ONLY: frozenset({M.GRADUAL, M.BASELINE_ONLY, M.RETURNING, M.EMERGENCY_ROLLBACK}),
    M.RETURNING: frozenset({M.RETURNING, M.EMERGENCY_ROLLBACK}),
    M.EMERGENCY_ROLLBACK: frozenset({M.BASELINE_ONLY}),
}
"""Allowed ways from each mode. Staying put with other values is allowed where users are split."""
SPLIT = frozenset({M.GRADUAL, M.RETURNING})
"""Modes in which a user's bucket and segments decide."""
ON_USERS = frozenset({M.GRADUAL, M.CANDIDATE_ONLY, M.RETURNING})
"""Modes in which users may get answers of the candidate."""
TRIED = frozenset({M.GRADUAL, M.CANDIDATE_ONLY})
"""Modes in which a stage tries the candidate on users: what they meet is evidence."""
ROLLED_BACK = frozenset({M.RETURNING, M.EMERGENCY_ROLLBACK})
"""Modes after a rollback began; it raised the epoch."""
MODES_COPIED = frozenset({M.SHADOW, M.PARALLEL, M.GRADUAL})
"""Modes in which the baseline answers users, whose requests may be copied to the candidate."""
_LEVELS = {M.SHADOW: COPIED, M.PARALLEL: COPIED, M.GRADUAL: SHARE, M.CANDIDATE_ONLY: ALL}


@dataclass(frozen=True, slots=True)
class RoutingState:
    """The one row that says where a migration's traffic goes.

    Args:
        migration: Name of the migration.
        mode: What the systems do for users.
        weight: Buckets that go to the candidate, 0..10_000; 2500 is 25 %. 0 outside `gradual`
            and 10_000 in `candidate_only`.
        segments: Names of the segments that go to the candidate in `gradual`.
        maintenance: Whether users get the maintenance answer instead of a system.
        maintenance_reason: Shown to users and in the audit; empty without maintenance.
        shadow_sample: Buckets (0..10_000) of requests that are copied to the candidate.
        version: Grows by one with every change.
        epoch: Grows by one with every rollback; a decision from an older epoch is void.
        kept: Names of the segments that stay at the baseline in `gradual`, whatever their bucket:
            they were rolled back alone.
        segment_weight: Buckets of the moved segments' users that go to the candidate: all of them,
            except in `returning`.
    """

    migration: str
    mode: Mode = Mode.BASELINE_ONLY
    weight: int = 0
    segments: tuple[str, ...] = ()
    maintenance: bool = False
    maintenance_reason: str = ""
    shadow_sample: int = 0
    version: int = 0
    epoch: int = 0
    kept: tuple[str, ...] = ()
    segment_weight: int = BUCKETS

    def describe(self) -> str:
        """Return the state in one phrase: `gradual 25 % + beta (version 7, epoch 0)`."""
        share = ""
        if self.mode in SPLIT:
            # who is left of the segments' users, while they return in steps
            is_whole = self.segment_weight == BUCKETS
            left = "" if is_whole else f" ({format_percent(self.segment_weight)})"
            parts = ["", format_percent(self.weight)]
            parts += [f"+ {name}{left}" for name in self.segments]
            parts += [f"without {name}" for name in self.kept]
            share = " ".join(parts)
        closed = ", maintenance" if self.maintenance else ""
        return f"{self.mode}{share}{closed} (version {self.version}, epoch {self.epoch})"

    @property
    def copied(self) -> int:
        """Buckets of requests that are really copied now: the sample, where there is anything."""
        return self.shadow_sample if self.mode in MODES_COPIED and not self.maintenance else 0

    @property
    def reach(self) -> Reach:
        """How far the migration is, as it is compared with that of others."""
        return Reach(_LEVELS.get(self.mode, NONE), self.weight)

    @property
    def order(self) -> tuple[int, int]:
        """The total order of states: a later one is never replaced by an earlier one."""
        return self.epoch, self.version


@dataclass(frozen=True, slots=True)
class Lead:
    """What must be true of another migration that goes first: in this epoch, and at least so far.
    """

    migration: str
    epoch: int
    reach: Reach


@dataclass(frozen=True, slots=True)
class Change:
    """A wished change of the routing state; None leaves a field as it is.

    Args:
        mode: The mode to go to.
        weight: Buckets for the candidate, 0..10_000.
        segments: Segments for the candidate.
        kept: Segments that stay at the baseline.
        maintenance: Switch the maintenance answer on or off.
        maintenance_reason: Why.
        shadow_sample: Buckets of requests to copy.
        expected_epoch: Refuse when the state's epoch is another one.
        is_by_person: Whether a person asked; only then does `emergency_rollback` end.
        segment_weight: Buckets of the moved segments' users for the candidate, in `returning`.
        carried_by: The work (`cutover 7`) and the flow run that must still carry it when this is
            written; checked by the store.
        leads: What must be true of the migrations that go first when this is written; checked by
            the store.
    """

    mode: Mode | None = None
    weight: int | None = None
    segments: tuple[str, ...] | None = None
    kept: tuple[str, ...] | None = None
    maintenance: bool | None = None
    maintenance_reason: str = ""
    shadow_sample: int | None = None
    expected_epoch: int | None = None
    is_by_person: bool = False
    segment_weight: int | None = None
    carried_by: tuple[str, str] | None = None
    leads: tuple[Lead, ...] = ()
    audited: Mapping[str, Any] = field(default_factory=dict)
    """Further facts for the change's audit event, such as the schedule of a return."""


def decide(
    state: RoutingState, key: Key | None, segments: frozenset[str] = frozenset(), *,
    rule: KeyRule = HASHED,
) -> System:
    """Return the system whose answer a user gets.

    Args:
        state: The routing state.
        key: The user's key; None or empty when the request carries none.
        segments: Names of the segments the user belongs to.
        rule: How the plan makes a bucket of a key.
    """
    return explain(state, key, segments, rule=rule).system


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which system a user gets, and why; `bucket` is None when the request carries no key."""

    system: System
    because: str
    bucket: int | None = None


def explain(
    state: RoutingState, key: Key | None, segments: frozenset[str] = frozenset(), *,
    rule: KeyRule = HASHED,
) -> Explanation:
    """Return which system's answer a user gets, with the reason in words.

    Args:
        state: The routing state.
        key: The user's key as it stands in the request; None or empty without one.
        segments: Names of the segments the user belongs to.
        rule: How the plan makes a bucket of a key.
    """
    number, why_none = _number(key, rule)
    return _explained(state, number, why_none, segments)


def decide_by_bucket(
    state: RoutingState, number: int | None, segments: frozenset[str] = frozenset()
) -> System:
    """Return the system whose answer a user gets, by the bucket that the gateway found."""
    return _explained(state, number, "a request without a key", segments).system


def _explained(
    state: RoutingState, number: int | None, why_none: str, segments: frozenset[str]
) -> Explanation:
    moved = [name for name in state.segments if name in segments]
    kept = [name for name in state.kept if name in segments]
    share = f"{state.mode} {format_percent(state.weight)}"
    is_left = number is not None and number < state.segment_weight
    if state.mode not in SPLIT:
        system = System.CANDIDATE if state.mode is Mode.CANDIDATE_ONLY else System.BASELINE
        # the bucket is named all the same: a person may want to know where a user would be
        return Explanation(system, f"the mode is {state.mode}", number)
    if kept:
        return Explanation(System.BASELINE, f"segment {kept[0]} was rolled back ({share})", number)
    if moved and (is_left or state.segment_weight == BUCKETS):
        return Explanation(System.CANDIDATE, f"segment {moved[0]} has moved ({share})", number)
    if number is None:
        return Explanation(System.BASELINE, f"{why_none} stays at the baseline ({share})")
    is_moved = number < state.weight
    relation = "below" if is_moved else "at or above"
    return Explanation(System.CANDIDATE if is_moved else System.BASELINE,
                       f"bucket {number} is {relation} {state.weight} ({share})", number)


def _number(key: Key | None, rule: KeyRule) -> tuple[int | None, str]:
    """Return the bucket of a request, or None and what it is that has none."""
    try:
        number = number_of(key, rule)
        is_numbered = number is not None or not values_of(key)
    except UnicodeEncodeError:
        return None, "a key that no request can carry"
    return number, "a request without a key" if is_numbered else "a key without a number at its end"


def apply(state: RoutingState, change: Change) -> RoutingState:
    """Return the state after `change`, with the next version; raises when a rule forbids it.

    Going to `emergency_rollback` or `baseline_only` takes all traffic from the candidate, and
    a rollback raises the epoch when it begins: at once, or with its first step (`returning`).
    A rollback while already rolled back returns the state unchanged.

    Raises:
        StaleEpoch: `expected_epoch` is not the state's: a rollback came first.
        TransitionRefused: The mode may not be left or entered this way.
        InvalidInput: `weight` or `shadow_sample` outside 0..10_000.
    """
    if change.expected_epoch is not None and change.expected_epoch != state.epoch:
        raise StaleEpoch(
            f"not changed because a rollback came first (epoch {state.epoch}, "
            f"this began in epoch {change.expected_epoch})",
            where=f"migration {state.migration}",
            next_step="Read `changeover history`, and start a new cutover when the cause is mended",
        )
    mode = change.mode or state.mode
    # said twice, by a trigger and a person: one epoch, not two
    if mode is Mode.EMERGENCY_ROLLBACK and state.mode is mode:
        return state
    _refuse_forbidden(state, change, mode)
    weight, segments = _shares(state, change, mode)
    maintenance = state.maintenance if change.maintenance is None else change.maintenance
    return replace(
        state,
        mode=mode,
        weight=weight,
        segments=segments,
        kept=_kept(state, change, mode),
        segment_weight=_segment_weight(state, change, mode),
        maintenance=maintenance,
        maintenance_reason=_reason(state, change, maintenance),
        shadow_sample=_in_buckets("shadow_sample", change.shadow_sample, state.shadow_sample)
        if mode not in ROLLED_BACK else 0,
        version=state.version + 1,
        epoch=state.epoch + (mode in ROLLED_BACK and state.mode not in ROLLED_BACK),
    )


def _reason(state: RoutingState, change: Change, maintenance: bool) -> str:
    if not maintenance:
        return ""
    return change.maintenance_reason or state.maintenance_reason


def _shares(state: RoutingState, change: Change, mode: Mode) -> tuple[int, tuple[str, ...]]:
    """Return (weight, segments) in `mode`: only where users are split there is a choice."""
    if mode is Mode.CANDIDATE_ONLY:
        return BUCKETS, ()
    if mode not in SPLIT:
        return 0, ()
    weight = _in_buckets("weight", change.weight, state.weight)
    if mode is Mode.RETURNING:  # who is back stays back
        return min(weight, state.weight), state.segments
    return weight, state.segments if change.segments is None else change.segments


def _kept(state: RoutingState, change: Change, mode: Mode) -> tuple[str, ...]:
    """Return the segments that stay at the baseline in `mode`."""
    if mode not in SPLIT:
        return ()
    return state.kept if change.kept is None else change.kept


def _segment_weight(state: RoutingState, change: Change, mode: Mode) -> int:
    """Return how many buckets of the segments' users are left to the candidate in `mode`."""
    if mode is not Mode.RETURNING:
        return BUCKETS
    wished = _in_buckets("segment_weight", change.segment_weight, state.segment_weight)
    return min(wished, state.segment_weight)


def _in_buckets(name: str, wished: int | None, present: int) -> int:
    # left as it is, it is checked all the same: a stored state may be an older version's
    value = present if wished is None else wished
    if not 0 <= value <= BUCKETS:
        raise InvalidInput(f"{name} {value} is outside 0 to {BUCKETS}")
    return value


def _refuse_forbidden(state: RoutingState, change: Change, mode: Mode) -> None:
    """Raise TransitionRefused unless the way from the present mode to `mode` is open."""
    if change.mode is None or (mode is state.mode and mode not in SPLIT):
        return
    leaves_rollback = state.mode is Mode.EMERGENCY_ROLLBACK
    if mode not in TRANSITIONS[state.mode]:
        why = why_not(state.mode, mode)
    elif leaves_rollback and not change.is_by_person:
        why = "only a person ends an emergency rollback"
    else:
        return
    open_ways = ", ".join(sorted(TRANSITIONS[state.mode]))
    raise TransitionRefused(
        f"not changed from {state.mode} to {mode} because {why}",
        where=f"migration {state.migration}",
        allowed=f"from {state.mode} to {open_ways}",
        next_step=NEXT_STEP.get(state.mode, ""),
    )

