"""Counting reported outcomes by bucket: which are compared, and what they add to. Pure.

An outcome says which system did the work and, in `key`, whose it was. The key is hashed at once
and kept nowhere. Only outcomes of users whom the split sent to a system are compared; others are
left out and counted by reason, as requests are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from changeover.analysis.sequential.counters import Valued
from changeover.analysis.sequential.scales import chance_of
from changeover.analysis.sequential.slices import (
    OF_OUTCOMES,
    REPORTED_TO,
    Excluded,
    Slice,
    Told,
)
from changeover.domain.buckets import number_of
from changeover.domain.outcomes import Reported
from changeover.domain.routing import (
    BUCKETS,
    ON_USERS,
    Mode,
    RoutingState,
    System,
)
from changeover.plan.metrics import QUALITY
from changeover.plan.routing import KeyRule
from changeover.plan.subsets import counted_in, subset_of_segment


@dataclass(frozen=True, slots=True)
class Counting:
    """How a plan's outcomes are counted.

    Args:
        rule: How the plan makes a bucket of a key.
        segments: Segments whose outcomes some check compares.
        valued: The values of all outcomes and of segments that are summed.
        segments_of: Returns the segments that a user is in by the key alone.
    """

    rule: KeyRule
    segments: frozenset[str]
    valued: Sequence[Valued]
    segments_of: Callable[[str], frozenset[str]]

    def slice_of(
        self, batch: Iterable[Reported], state: RoutingState, *, at: int
    ) -> Slice | None:
        """Return what outcomes add to the slice of their second; None where nothing is compared.

        Args:
            batch: Outcomes that count for the first time.
            state: Where users are.
            at: The Unix second that they count for.
        """
        if state.mode is Mode.CANDIDATE_ONLY:
            return None
        found = _Filling()
        for one in batch:
            self._add(found, one, state)
        if not found.sums and not found.excluded:
            return None
        weight = state.weight if state.mode in ON_USERS else 0
        return Slice(weight, at, at + 1, found.arrays(), found.excluded, REPORTED_TO)

    def _add(self, found: _Filling, one: Reported, state: RoutingState) -> None:
        if state.mode not in ON_USERS and one.system != System.BASELINE:
            return  # both systems work, and users get the baseline's answer
        mine = frozenset(one.segments) | (self.segments_of(one.key) if one.key else frozenset())
        subsets = [None, *(subset_of_segment(each) for each in sorted(self.segments & mine))]
        number, why_not = self._bucket(one, mine, state)
        if why_not is not None:
            found.exclude(counted_in(subset, OF_OUTCOMES + why_not) for subset in subsets)
            return
        for subset in subsets:
            found.add(number, counted_in(subset, Told.OUTCOMES))
            if not one.is_success:
                found.add(number, counted_in(subset, Told.FAILED))
        for each in self.valued:
            value = one.quality.get(each.scale.name.removeprefix(QUALITY))
            if value is not None and each.subset in subsets:
                for where, name, amount in each.amounts(
                        number, value, chance_of(one.id), is_candidate=one.system != "baseline"):
                    found.add(where, name, amount)

    def _bucket(
        self, one: Reported, segments: frozenset[str], state: RoutingState
    ) -> tuple[int, Excluded | None]:
        """Return the bucket of an outcome's user, and why it is not compared, if so."""
        if segments.intersection([*state.segments, *state.kept]):
            return -1, Excluded.NOT_BY_SPLIT
        try:
            number = number_of(one.key or None, self.rule)
        except UnicodeEncodeError:
            return -1, Excluded.NO_KEY
        if number is None:
            return -1, Excluded.NO_KEY
        is_mine = one.system == System.CANDIDATE
        if state.mode in ON_USERS and (number < state.weight) != is_mine:
            # begun under another split, or sent to a system by hand
            return number, Excluded.UNCLEAR_KEY
        return number, None


@dataclass(slots=True)
class _Filling:
    """Sums that are being filled."""

    sums: dict[str, dict[int, int]] = field(default_factory=dict)
    excluded: dict[str, int] = field(default_factory=dict)

    def add(self, number: int, name: str, amount: int = 1) -> None:
        counter = self.sums.setdefault(name, {})
        counter[number] = counter.get(number, 0) + amount

    def exclude(self, reasons: Iterable[str]) -> None:
        for reason in reasons:
            self.excluded[reason] = self.excluded.get(reason, 0) + 1

    def arrays(self) -> dict[str, np.ndarray]:
        found = {}
        for name, counter in self.sums.items():
            total = np.zeros(BUCKETS, np.int64)
            total[list(counter)] = list(counter.values())
            found[name] = total
        return found
