"""Requests become sums by bucket: each counted once, under its own split."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.sequential.counters import Valued
from changeover.analysis.sequential.scales import Scale
from changeover.analysis.sequential.slices import Counter, Excluded, Slice, merged, pack, unpack
from changeover.domain.routing import System, bucket
from changeover.domain.slices import SlowBound
from changeover.gateway.accesslog import Entry, classify
from changeover.observer.slicing import SECONDS, Slicer
from changeover.plan.routing import HASHED

NOON = 1_700_006_400


def request(
    end: float = NOON, key: str | None = "ann", weight: int = 2500, status: int = 200,
    route: str = "", meant: System | None = None,
) -> Entry:
    """Return a request that the split decided, answered by the system it was meant for."""
    by_key = System.CANDIDATE if key and bucket(key) < weight else System.BASELINE
    system = meant or by_key
    return Entry(end, 1500, status, frozenset(), route or f"split:{weight}:safe", key, system, 1,
                 chosen=system, body_bytes=9)


def counted(slicer: Slicer, *entries: Entry) -> list[Slice]:
    """Return the slices after these requests."""
    for entry in entries:
        outcome = classify(entry)
        assert outcome is not None
        slicer.add(entry, outcome)
    return slicer.pop_changed()


def number(slices: list[Slice], counter: str = Counter.REQUESTS) -> int:
    """Return how many requests all slices have."""
    return sum(int(each.sums[counter].sum()) for each in slices if counter in each.sums)


def test_request_is_counted_in_the_bucket_of_its_key() -> None:
    """An error is counted as a request and as an error of one bucket."""
    (found,) = counted(Slicer(HASHED), request(status=503))
    place = bucket("ann")
    assert found.weight == 2500
    assert {name: int(numbers[place]) for name, numbers in found.sums.items()} == {
        Counter.REQUESTS: 1, Counter.ERRORS: 1, Counter.SERVER_ERRORS: 1, Counter.USER_ERRORS: 1}
    assert number([found]) == 1


@pytest.mark.parametrize(("entry", "reason"), [
    (request(key=None), Excluded.NO_KEY),
    (request(key=None, route="baseline:0:safe"), Excluded.NO_KEY),
    (request(route="candidate:10000:safe", meant=System.CANDIDATE), Excluded.NOT_BY_SPLIT),
    (request(route="baseline:0:safe:kept", meant=System.BASELINE), Excluded.NOT_BY_SPLIT),
    (request(key="ann", weight=bucket("ann"), meant=System.CANDIDATE), Excluded.UNCLEAR_KEY),
], ids=["no key", "no key at the baseline", "segment", "rolled back", "other bucket"])
def test_request_that_the_split_did_not_decide_is_left_out_and_told(
    entry: Entry, reason: Excluded
) -> None:
    """It says nothing of the split, and is counted by its reason."""
    (found,) = counted(Slicer(HASHED), entry)
    assert not found.sums
    assert found.excluded == {reason: 1}


@pytest.mark.parametrize("is_withholding", [True, False])
def test_relief_by_back_pressure_is_no_error_of_the_candidate(is_withholding: bool) -> None:
    """What was sent to the baseline to spare the candidate says nothing of it."""
    spared = replace(request(weight=9_999), served_by=System.BASELINE)
    outcome = classify(spared)
    assert outcome is not None
    slicer = Slicer(HASHED)
    slicer.add(spared, outcome, is_withholding=is_withholding)
    (found,) = slicer.pop_changed()
    assert found.excluded == ({Excluded.WITHHELD: 1} if is_withholding else {})
    assert number([found], Counter.ERRORS) == (not is_withholding)


def test_requests_of_different_splits_are_never_in_one_sum() -> None:
    """A request that began before the percentage changed counts under its own."""
    found = counted(Slicer(HASHED), request(weight=2500), request(NOON + 1, weight=5000),
                    request(NOON + 1, weight=2500))
    assert {each.weight: number([each]) for each in found} == {2500: 2, 5000: 1}


def test_everyone_on_the_baseline_is_a_split_of_nobody() -> None:
    """The time before a stage is what buckets' own past is made of."""
    (found,) = counted(Slicer(HASHED), request(weight=0, route="baseline:0:safe"))
    assert (found.weight, number([found])) == (0, 1)


def test_slices_are_short_after_a_change_and_a_minute_long_later() -> None:
    """Stages that soak for seconds have slices of their own, and months are not made of them."""
    every_second = [request(float(NOON + second)) for second in range(600 + 3 * SECONDS)]
    starts = sorted(each.start for each in counted(Slicer(HASHED), *every_second))
    steps = [later - earlier for earlier, later in pairwise(starts)]
    assert steps == [2] * 30 + [10] * 54 + [SECONDS] * 2


@pytest.mark.parametrize(("weight", "is_slow"), [(10_000 - 1, False), (1, True)],
                         ids=["candidate", "baseline"])
def test_request_is_slow_by_the_bound_of_its_system(weight: int, is_slow: bool) -> None:
    """The candidate's bound has the margin on top of the baseline's."""
    slicer = Slicer(HASHED)
    slicer.time_by([SlowBound("p95", 1_400, 1_600)])  # the request took 1,500 us
    (found,) = counted(slicer, request(weight=weight))
    assert int(found.counts("slow 1400/1600", "timed 1400/1600").requests.sum()) == 1
    assert int(found.counts("slow 1400/1600").events.sum()) == is_slow


def test_late_line_changes_no_closed_slice() -> None:
    """What a verdict may have been made of stays; the line counts in the open slice."""
    slicer = Slicer(HASHED)
    closed, _ = counted(slicer, request(NOON), request(NOON + SECONDS))
    (later,) = counted(slicer, request(NOON + 1))
    assert closed.start == NOON
    assert later.start == NOON + SECONDS
    assert number([later]) == 2


@given(st.lists(st.integers(0, 300), min_size=1, max_size=40), st.integers(0, 39))
def test_restart_at_any_place_counts_every_request_once(ends: list[int], killed: int) -> None:
    """From the slices and the place that were saved, all goes on as if nothing had happened."""
    entries = [request(NOON + end, key=f"user {index}") for index, end in enumerate(sorted(ends))]
    saved: dict[tuple[int, int], Slice] = {}

    def run(slicer: Slicer, part: list[Entry]) -> None:
        for each in counted(slicer, *part):
            saved[each.weight, each.start] = each

    run(Slicer(HASHED), entries[:killed])
    run(Slicer(HASHED, known=list(saved.values())[-1:]), entries[killed:])
    assert number(list(saved.values())) == len(entries)


@given(st.dictionaries(st.sampled_from([*Counter]), st.dictionaries(
    st.integers(0, 9_999), st.integers(0, 2**40), max_size=20), max_size=4))
def test_sums_come_back_as_they_were_packed(sums: dict[str, dict[int, int]]) -> None:
    """Whatever the numbers are, packing loses none."""
    slicer_sums = {name: _array(numbers) for name, numbers in sums.items()}
    found = unpack(pack(slicer_sums))
    assert {name: numbers.tolist() for name, numbers in found.items()} == {
        name: numbers.tolist() for name, numbers in slicer_sums.items()}


def _array(numbers: dict[int, int]) -> np.ndarray:
    total = np.zeros(10_000, np.int64)
    for place, value in numbers.items():
        total[place] = value
    return total


def test_sums_that_are_damaged_are_refused() -> None:
    """A blob that is no sums is no sums of zero."""
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(b"damaged")


def test_slices_of_different_splits_cannot_be_added() -> None:
    """A sum over two splits would compare the users of one with those of the other."""
    with pytest.raises(ValueError, match="cannot be added"):
        merged([Slice(100, 0, 1, {}), Slice(200, 1, 2, {})])


def test_sizes_of_answers_are_summed_by_their_logarithm() -> None:
    """Of whole answers only; the candidate's lose the margin first, at which both are alike."""
    scale = Scale("response_bytes", 0.0, 25.0, ratio=1.2, is_log=True)
    slicer = Slicer(HASHED, valued=[Valued(None, scale)])
    answers = []
    for each in range(2000):
        size = 12_000 if bucket(f"u{each}") < 2500 else 10_000
        answers.append(replace(request(NOON + each / 1000, key=f"u{each}"), body_bytes=size))
    (found,) = counted(slicer, *answers, request(status=503))
    assert int(found.sums[scale.of].sum()) == 2000
    means = [found.sums[scale.events][part].sum() / found.sums[scale.of][part].sum()
             for part in (slice(0, 2500), slice(2500, None))]
    assert means == [pytest.approx(np.log1p(10_000) * 4, abs=0.1)] * 2
    assert np.flatnonzero(found.sums[scale.squares]).tolist() == [0]
    assert slicer.pop_changed() == []
