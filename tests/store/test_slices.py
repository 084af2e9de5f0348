"""Sums by bucket in the store: kept with their place, summed up by the hour, read by stage."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from changeover import clock
from changeover.analysis.sequential.slices import Slice
from changeover.domain.procedures import Step, StepStatus, again_step, of_cutover
from changeover.domain.slices import LogPlace, SlowBound
from changeover.plan.model import PhaseKind
from changeover.site.bucket_sums import HOUR, BucketSums, packed
from changeover.store import cutovers, slices, steps
from changeover.store.engine import Store
from tests.store.conftest import shop

FIRST = 1_700_006_400  # a whole hour


def one(start: int, weight: int = 2500, requests: int = 1, length: int = 60) -> Slice:
    """Return a slice in which each bucket had so many requests."""
    sums = {"requests": np.full(10_000, requests, np.int64)}
    return Slice(weight, start, start + length, sums, {"no key": 2})


def save(store: Store, *found: Slice, offset: int = 1) -> None:
    """Save slices of the only gateway."""
    slices.save(store, "shop", [packed(each) for each in found], LogPlace(5, offset),
                gateway="main")


def number(found: list[Slice]) -> int:
    """Return the requests of one bucket in all slices."""
    return sum(int(each.counts("errors").requests[0]) for each in found)


def test_slice_is_replaced_together_with_its_place(store: Store) -> None:
    """An open slice is saved again and again; the newest one and its place stand."""
    assert slices.place_of(store, "shop", gateway="main") is None
    save(store, one(FIRST, requests=1), offset=10)
    save(store, one(FIRST, requests=3), offset=30)
    found = BucketSums(store, "shop").of_stage(
        2500, start=clock.from_timestamp(FIRST), end=clock.from_timestamp(FIRST + 60))
    assert number(found) == 3
    assert slices.place_of(store, "shop", gateway="main") == LogPlace(5, 30)


def test_bound_that_was_frozen_stays(store: Store) -> None:
    """A second observer, or a slower day, changes nothing of what is called slow."""
    first, later = SlowBound("p95", 100, 110), SlowBound("p95", 200, 220)
    other = SlowBound("p99", 300, 330)
    slices.freeze(store, "shop", [first], now=clock.now())
    slices.freeze(store, "shop", [later, other], now=clock.now())
    assert slices.slow_bounds(store, "shop") == [first, other]


def test_stage_has_what_began_in_it_under_its_own_split(store: Store) -> None:
    """Neither another split nor a slice that began before the stage is in its sums."""
    save(store, one(FIRST), one(FIRST + 60), one(FIRST + 60, weight=5000), one(FIRST + 120))
    found = BucketSums(store, "shop").of_stage(
        2500, start=clock.from_timestamp(FIRST + 30), end=clock.from_timestamp(FIRST + 200))
    assert number(found) == 2


def test_stage_comes_back_by_the_hour_and_its_newest_hour_by_the_minute(store: Store) -> None:
    """Later starts of a question are whole hours of the clock, and the newest minutes."""
    save(store, *(one(FIRST + 600 * n) for n in range(18)))
    found = BucketSums(store, "shop").of_stage(
        2500, start=clock.from_timestamp(FIRST), end=clock.from_timestamp(FIRST + 3 * HOUR))
    newest = [FIRST + 2 * HOUR + 600 * n for n in range(6)]
    assert [each.start for each in found] == [FIRST, FIRST + HOUR, *newest]
    assert [number([each]) for each in found] == [6, 6, 1, 1, 1, 1, 1, 1]


def test_past_is_the_time_when_everyone_was_on_the_baseline(store: Store) -> None:
    """What happened under a split is nobody's own past; a new migration has none."""
    reader = BucketSums(store, "shop")
    before = clock.from_timestamp(FIRST + 600)
    assert number([reader.past(before)]) == 0
    save(store, one(FIRST, weight=0), one(FIRST + 60, weight=0), one(FIRST + 120),
         one(FIRST + 700, weight=0))
    assert number([reader.past(before)]) == 2


def test_old_slices_are_summed_up_by_the_hour_and_say_the_same(store: Store) -> None:
    """Months are hundreds of rows, not a hundred thousand; what is excluded is added, too."""
    save(store, *(one(FIRST + 60 * n) for n in range(120)), one(FIRST, weight=0))
    reader = BucketSums(store, "shop")
    span = {"start": clock.from_timestamp(FIRST), "end": clock.from_timestamp(FIRST + 4 * HOUR)}
    before = reader.of_stage(2500, **span)
    later = clock.from_timestamp(FIRST) + timedelta(hours=5)
    assert reader.sum_up(later) == 2
    assert reader.sum_up(later) == 0
    after = reader.of_stage(2500, **span)
    assert [number([each]) for each in after] == [number([each]) for each in before] == [60, 60]
    assert [each.excluded for each in after] == [{"no key": 120}] * 2
    assert len(slices.keys(store, "shop", end=FIRST + 3 * HOUR)) == 3


def test_recent_slices_are_not_summed_up(store: Store) -> None:
    """What may still be filled stays as it is."""
    save(store, one(FIRST), one(FIRST + 60))
    assert BucketSums(store, "shop").sum_up(clock.from_timestamp(FIRST + 2 * HOUR)) == 0


def test_summing_up_keeps_apart_what_was_counted_before_users_came_again(store: Store) -> None:
    """The stage's evidence begins there: one sum of both would be left out as a whole."""
    cutover = cutovers.begin(store, "shop", flow_run_id="a", now=clock.from_timestamp(FIRST))
    stage = next(each for each in shop().stages() if each.phase is PhaseKind.GRADUAL)
    first = cutovers.enter_stage(store, cutover.id, stage, now=clock.from_timestamp(FIRST))
    cutovers.next_round(store, first, until=clock.now(), now=clock.now())
    again = clock.from_timestamp(FIRST + 600)
    steps.save(store, Step("shop", of_cutover(cutover.id), again_step(stage.key, 1),
                           StepStatus.DONE, "again", again, again))
    save(store, *(one(FIRST + 60 * n) for n in range(30)))
    reader = BucketSums(store, "shop")
    assert reader.sum_up(clock.from_timestamp(FIRST + 5 * HOUR)) == 2
    end = clock.from_timestamp(FIRST + HOUR)
    assert number(reader.of_stage(2500, start=again, end=end)) == 20


def test_summing_up_keeps_stages_of_the_same_split_apart(store: Store) -> None:
    """Two stages of one percentage within an hour never get into one sum."""
    cutover = cutovers.begin(store, "shop", flow_run_id="a", now=clock.from_timestamp(FIRST))
    stage = next(each for each in shop().stages() if each.phase is PhaseKind.GRADUAL)
    entered = clock.from_timestamp(FIRST + 600)
    cutovers.enter_stage(store, cutover.id, stage, now=entered)
    save(store, *(one(FIRST + 60 * n) for n in range(30)))
    reader = BucketSums(store, "shop")
    assert reader.sum_up(clock.from_timestamp(FIRST + 5 * HOUR)) == 2
    end = clock.from_timestamp(FIRST + HOUR)
    assert number(reader.of_stage(2500, start=entered, end=end)) == 20


def test_slices_beyond_their_retention_are_deleted(store: Store) -> None:
    """What ended before the limit goes, the rest stays."""
    save(store, one(FIRST), one(FIRST + 60), one(FIRST + 120))
    assert slices.prune(store, "shop", before=FIRST + 125) == 2
    assert slices.keys(store, "shop", end=FIRST + HOUR) == [("main", 2500, FIRST + 120)]
