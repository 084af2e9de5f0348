"""The sums of a stage in memory: the same whatever was saved, killed or read again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.sequential.parts import into_parts
from changeover.analysis.sequential.slices import Slice
from changeover.domain.routing import BUCKETS
from changeover.observer.tally import Tally

HALF = 5000
LENGTHS = st.lists(st.integers(1, 5000), min_size=1, max_size=12)


def one(start: int, number: int = 1, weight: int = HALF) -> Slice:
    """Return a slice with so many requests of the first bucket."""
    requests = np.zeros(BUCKETS, np.int64)
    requests[0] = number
    return Slice(weight, start, start + 1, {"requests": requests})


def row(lengths: Sequence[int]) -> list[Slice]:
    """Return slices in a row, each with one request more than the one before."""
    starts = np.cumsum([0, *lengths])
    return [one(int(start), number) for number, start in enumerate(starts, 1)]


def numbers(tally: Tally) -> list[tuple[int, int]]:
    """Return (start, requests) of each part of a stage."""
    return [(each.start, int(each.counts("errors").requests[0])) for each in tally.parts()]


def expected(slices: Sequence[Slice]) -> list[tuple[int, int]]:
    """Return the same by adding everything up."""
    parts = into_parts(slices, slices[-1].start)
    return [(each.start, int(each.counts("errors").requests[0])) for each in parts]


@given(LENGTHS, st.integers(0, 12), st.integers(0, 12))
def test_sums_are_the_same_whatever_was_in_the_store_at_the_start(
    lengths: list[int], stored: int, in_memory: int
) -> None:
    """A restart finds some slices in the store and some in memory, and the rest comes later."""
    slices = row(lengths)
    tally = Tally()
    tally.put(slices[in_memory:stored])  # what the slicer had open, for instance
    tally.begin(HALF, 0, slices[:stored])
    for each in slices[max(0, stored - 1):]:
        tally.put([each])
    assert numbers(tally) == expected(slices)


@given(LENGTHS)
def test_an_open_slice_that_grows_counts_as_it_is_now(lengths: list[int]) -> None:
    """It is put again and again, each time with more requests."""
    tally = Tally()
    tally.begin(HALF, 0, [])
    for each in row(lengths):
        for number in range(1, int(each.counts("errors").requests[0]) + 1):
            tally.put([one(each.start, number)])
    assert numbers(tally) == expected(row(lengths))


def test_other_splits_and_what_came_before_the_stage_are_left_out() -> None:
    """A stage is one split since its start."""
    tally = Tally()
    tally.put([one(0), one(10, weight=2500), one(20)])
    tally.begin(HALF, 5, [])
    tally.put([one(30), one(31, weight=2500)])
    assert numbers(tally) == [(20, 2)]
