"""Which counters of buckets each check is judged by, and which of them a plan needs. Pure.

Of all requests the few kinds of `Counter` are always counted. Statuses and subsets of requests are
counted only where a check of the plan compares by them, so that what is stored stays small.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from changeover.analysis.sequential.scales import Scale, scale_of
from changeover.analysis.sequential.slices import Counter, Told
from changeover.analysis.sequential.slow import condition_of, is_timed
from changeover.domain.slices import SlowBound
from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import OUTCOME_ERRORS, Source
from changeover.plan.model import Plan
from changeover.plan.statuses import WITH_STATUS, has_status, statuses_of
from changeover.plan.subsets import counted_in

COUNTED: Mapping[str, tuple[Counter, Counter]] = {
    "error_rate": (Counter.ERRORS, Counter.REQUESTS),
    "server_error_rate": (Counter.SERVER_ERRORS, Counter.REQUESTS),
    "user_error_rate": (Counter.USER_ERRORS, Counter.REQUESTS),
    "client_error_rate": (Counter.CLIENT_ERRORS, Counter.REQUESTS),
    "redirect_rate": (Counter.REDIRECTS, Counter.REQUESTS),
    "empty_rate": (Counter.EMPTY_ANSWERS, Counter.ANSWERS),
}
"""The counters of each metric that is counted by bucket: bad ones, and of which."""
REPORTED = (Told.FAILED, Told.OUTCOMES)
"""The same of `outcome_error_rate`, counted where outcomes are reported."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Counters that a plan needs of a subset of requests.

    Args:
        subset: Its name; None for all requests, of which every `Counter` is counted anyway.
        kinds: The counters that are needed of it.
        readings: Metrics with their statuses (`status_rate 404`), which count as well.
    """

    subset: str | None
    kinds: frozenset[str]
    readings: tuple[str, ...]

    def names(self, kinds: Iterable[str], statuses: Iterable[str]) -> list[str]:
        """Return the names of the counters that a request of the subset is in.

        Args:
            kinds: The counters of all requests that it is in.
            statuses: What it was answered with; none without an answer.
        """
        found = [kind for kind in kinds if kind in self.kinds]
        for status in statuses:
            found += [each for each in self.readings if has_status(status, statuses_of(each))]
        return [counted_in(self.subset, name) for name in found]


def counters_of(check: CheckSpec, bounds: Mapping[str, SlowBound]) -> tuple[str, str]:
    """Return the names of the counters that a check is judged by: of bad requests, and of all."""
    if is_timed(check):
        bound = bounds[condition_of(check)]
        return bound.events, bound.of
    events, of = _kinds_of(check)
    return counted_in(check.subset, events), counted_in(check.subset, of)


@dataclass(frozen=True, slots=True)
class Valued:
    """Values that a plan needs the sums of.

    Args:
        subset: Of which requests or outcomes; None for all.
        scale: How they count.
    """

    subset: str | None
    scale: Scale

    def amounts(
        self, number: int, value: float, chance: float, *, is_candidate: bool
    ) -> list[tuple[int, str, int]]:
        """Return what a value adds: in which bucket, to which counter, how much.

        Args:
            number: The bucket of its user.
            value: In its own unit.
            chance: In [0, 1), from what names the value.
            is_candidate: Whether it is the candidate's.
        """
        scale, units = self.scale, self.scale.units(value, chance, is_candidate=is_candidate)
        found = [(number, scale.of, 1), (number, scale.events, units),
                 (0, scale.squares, units * units)]
        return [(each, counted_in(self.subset, name), amount) for each, name, amount in found]


def valued(plan: Plan, source: Source) -> list[Valued]:
    """Return the values of a source that a plan's checks need the sums of."""
    found: dict[Valued, None] = {}
    for check in _asked(plan):
        scale = scale_of(check)
        if scale is not None and check.measured.source is source:
            # which way is worse does not matter for what is counted
            found[Valued(check.subset, replace(scale, is_falling=False))] = None
    return list(found)


def compares_outcomes(plan: Plan) -> bool:
    """Whether a check of a plan compares outcomes by evidence."""
    return any(each.measured.source is Source.OUTCOME for each in _asked(plan))


def _asked(plan: Plan) -> list[CheckSpec]:
    return [check for checks in plan.all_gates.values() for check in checks if check.is_sequential]


def needed_of(check: CheckSpec, bounds: Mapping[str, SlowBound]) -> list[str]:
    """Return the names of all counters that a check is judged by."""
    scale = scale_of(check)
    extra = [] if scale is None else [counted_in(check.subset, scale.squares)]
    return [*counters_of(check, bounds), *extra]


def wanted(plan: Plan) -> list[Wanted]:
    """Return the counters that a plan needs beyond those of all requests."""
    asked = _asked(plan)
    asked += [spec.as_check for spec in plan.triggers if spec.is_sequential]
    found: dict[str | None, set[str]] = {}
    for check in asked:
        if check.is_of_mean or check.metric == OUTCOME_ERRORS:
            continue
        names = found.setdefault(check.subset, set())
        if not is_timed(check):
            names.update(_kinds_of(check))
    return [_of_subset(subset, names) for subset, names in found.items()]


def _of_subset(subset: str | None, names: set[str]) -> Wanted:
    readings = {name for name in names if statuses_of(name)}
    kinds = frozenset() if subset is None else frozenset(names - readings)
    return Wanted(subset, kinds, tuple(sorted(readings)))


def _kinds_of(check: CheckSpec) -> tuple[str, str]:
    scale = scale_of(check)
    if scale is not None:
        return scale.events, scale.of
    if check.metric == OUTCOME_ERRORS:
        return REPORTED
    if check.metric in WITH_STATUS:
        return check.measured.name, Counter.REQUESTS
    events, of = COUNTED[check.metric]
    return events, of
