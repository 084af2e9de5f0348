"""What was reckoned of a stage's parts, so that each look only reckons what is new. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from changeover.analysis.sequential.buckets import Reals
from changeover.analysis.sequential.expected import Expected, expect, is_enough
from changeover.analysis.sequential.slices import Slice


@dataclass(frozen=True, slots=True)
class Memo:
    """What was reckoned of parts that did not change since; made anew for each stage."""

    _rows: dict[tuple[int, str, str], tuple[Slice, Reals]] = field(default_factory=dict)
    _usual: dict[tuple[str, str], Expected | None] = field(default_factory=dict)

    def usual(self, past: Slice, events: str, of: str) -> Expected | None:
        """Return what the past alone lets expect; None where it has too few events."""
        key = events, of
        if key not in self._usual:
            # the past of a stage never changes: it ended when users were moved
            counts = past.counts(events, of)
            self._usual[key] = expect(counts, counts) if is_enough(counts) else None
        return self._usual[key]

    def row(self, part: Slice, past: Slice, counters: tuple[str, str]) -> Reals:
        """Return a part's rough sums, shape (6,): bad requests, those expected, and buckets with
        any, each of the candidate and of both systems."""
        # The part is kept beside its sums, so that no other object gets its id.
        key = id(part), *counters
        if key not in self._rows:
            self._rows[key] = part, _row(part, self.usual(past, *counters), counters)
        return self._rows[key][1]

    def forget(self, parts: Sequence[Slice]) -> None:
        """Forget the sums of all parts but these."""
        known = {id(part) for part in parts}
        for key in [key for key in self._rows if key[0] not in known]:
            del self._rows[key]


def _row(part: Slice, usual: Expected | None, counters: tuple[str, str]) -> Reals:
    counts, weight = part.counts(*counters), part.weight
    expected: Reals = counts.requests.astype(np.float64)
    if usual is not None:
        expected *= usual.shares
    # a bucket counts once, however many bad requests one of its users had
    hit = counts.events > 0
    sums = []
    for numbers in (counts.events, expected, hit):
        sums += [float(numbers[:weight].sum()), float(numbers.sum())]
    return np.array(sums)
