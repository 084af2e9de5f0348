"""The modes, and the one row that says where a migration's traffic goes. Pure.

What follows from them is `changeover.domain.routing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from changeover.domain.buckets import BUCKETS
from changeover.plan.members import ALL, COPIED, NONE, SHARE, Reach
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
        routes: Buckets of each route of its own that go to the candidate, by name, sorted; those
            with none are left out. In `candidate_only` all go there, whatever stands here.
        kept_routes: Names of the routes that stay at the baseline: they were rolled back alone.
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
    routes: tuple[tuple[str, int], ...] = ()
    kept_routes: tuple[str, ...] = ()

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
        version = f"version {self.version}, epoch {self.epoch}"
        return f"{self.mode}{share}{self._routes_in_words()}{closed} ({version})"

    def _routes_in_words(self) -> str:
        """Return where routes are that are not where the rest is: `, route orders 50 %`."""
        parts = []
        if self.mode in SPLIT:
            parts = [f"route {name} {format_percent(self.buckets_of(name))}"
                     for name, _ in self.routes]
        parts += [f"without route {name}" for name in self.kept_routes]
        return "".join(f", {part}" for part in parts)

    def buckets_of(self, route: str) -> int:
        """Return how many buckets of a route of its own are the candidate's where users are split;
        ever fewer of them while users return in steps.
        """
        weight = dict(self.routes).get(route, 0)
        return weight * self.segment_weight // BUCKETS

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
        expected_version: Refuse when the state's version is another one.
        takes_back: A part that goes back to the baseline, `segment:NAME` or `route:NAME`, whatever
            else has changed: two that go back at once do not undo each other.
        is_by_person: Whether a person asked; only then does `emergency_rollback` end.
        segment_weight: Buckets of the moved segments' users for the candidate, in `returning`.
        routes: Buckets of these routes for the candidate, by name; the others stay as they are.
        kept_routes: Routes that stay at the baseline; None leaves them as they are, without those
            that `routes` moves.
        carried_by: The work (`cutover 7`) and the flow run that must still carry it when this is
            written; checked by the store.
        leads: What must be true of the migrations that go first when this is written; checked by
            the store.
        above: (epoch, version) that a gateway serves; the store adds what those elsewhere said. Is
            it later than the state, as after the store was restored to an earlier one, a rollback
            becomes later than it. None: nobody is asked.
    """

    mode: Mode | None = None
    weight: int | None = None
    segments: tuple[str, ...] | None = None
    kept: tuple[str, ...] | None = None
    maintenance: bool | None = None
    maintenance_reason: str = ""
    shadow_sample: int | None = None
    expected_epoch: int | None = None
    expected_version: int | None = None
    takes_back: str = ""
    is_by_person: bool = False
    segment_weight: int | None = None
    routes: tuple[tuple[str, int], ...] = ()
    kept_routes: tuple[str, ...] | None = None
    carried_by: tuple[str, str] | None = None
    leads: tuple[Lead, ...] = ()
    above: tuple[int, int] | None = None
    audited: Mapping[str, Any] = field(default_factory=dict)
    """Further facts for the change's audit event, such as the schedule of a return."""
