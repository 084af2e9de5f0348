"""Requests of a subset are counted of their own, and add up to all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.sequential.counters import Wanted
from changeover.analysis.sequential.slices import Counter, Excluded, Slice
from changeover.analysis.window import Sample, Window, combine, of_subset
from changeover.domain.routing import System
from changeover.domain.slices import SlowBound
from changeover.gateway.accesslog import Entry, classify
from changeover.observer.accumulate import Accumulator
from changeover.observer.slicing import Slicer
from changeover.plan.routing import HASHED

NOON = 1_700_006_400
BETA, OTHERS = "segment:beta", "segment:others"
REQUESTS = st.lists(st.tuples(
    st.integers(0, 90), st.booleans(), st.sampled_from([200, 302, 404, 503]),
    st.integers(1, 10**6)), max_size=40)


def entry(
    end: float = NOON, status: int = 200, *subsets: str, microseconds: int = 1500, key: str = "ann"
) -> Entry:
    """Return a request that the split sent to the candidate."""
    return Entry(end, microseconds, status, frozenset(), "split:9999:safe", key,
                 System.CANDIDATE, 1, chosen=System.CANDIDATE, body_bytes=9,
                 subsets=frozenset(subsets))


def sampled(entries: list[Entry], *subsets: str) -> list[Sample]:
    """Return the candidate's samples of these requests."""
    accumulator = Accumulator(first=NOON, subsets=subsets)
    for each in entries:
        accumulator.add(each)
    return [each for each in accumulator.pop_changed(NOON + 100) if each.system == "candidate"]


def window(rows: list[Sample], subset: str | None) -> Window:
    """Return what was measured of a subset over all samples."""
    return combine([of_subset(row, subset) for row in rows], seconds=100)


def test_each_route_is_counted_under_its_own_split() -> None:
    """Two splits at once: each has its slice, and the route's counters are in its own."""
    orders = "route:orders"
    slicer = Slicer(HASHED, wanted=[Wanted(orders, frozenset({Counter.REQUESTS}), ())])
    shares = {"split:9999:safe/orders": frozenset({orders}), "split:9998:unsafe": frozenset()}
    for route, inside in shares.items():
        one = replace(entry(), route=route, subsets=inside)
        outcome = classify(one)
        assert outcome is not None
        slicer.add(one, outcome)
    counted = {each.weight: each for each in slicer.pop_changed()}
    named = f"{orders} {Counter.REQUESTS}"
    assert {weight: (int(each.sums[Counter.REQUESTS].sum()), named in each.sums)
            for weight, each in counted.items()} == {9999: (1, True), 9998: (1, False)}


@given(REQUESTS)
def test_subsets_that_divide_all_requests_add_up_to_them(
    requests: list[tuple[int, bool, int, int]]
) -> None:
    """Requests, errors, statuses and durations: none is lost, and none counts twice."""
    rows = sampled([
        entry(NOON + end, status, BETA if is_beta else OTHERS, microseconds=microseconds)
        for end, is_beta, status, microseconds in requests], BETA, OTHERS)
    whole = window(rows, None)
    parts = [of_subset(row, name) for row in rows for name in (BETA, OTHERS)]
    together = combine(parts, seconds=100)
    assert together.watched == whole.watched
    for name in ("requests", "errors", "statuses", "latency", "client_errors", "answers"):
        assert getattr(together, name) == getattr(whole, name)


@given(REQUESTS)
def test_rates_by_status_agree_with_the_classes_that_are_counted_anyway(
    requests: list[tuple[int, bool, int, int]]
) -> None:
    """`status: 4xx` is the rate of client errors, and every answer has one status."""
    found = window(sampled([entry(NOON + each[0], each[2]) for each in requests]), None)
    assert found.measure("status_rate 4xx") == found.measure("client_error_rate")
    assert sum(found.statuses.values()) == found.requests


def test_subset_without_any_request_is_known_to_have_none() -> None:
    """A second in which nobody of the segment came is one of rate 0."""
    found = window(sampled([entry()], BETA), BETA)
    assert found.measure("request_rate").value == 0
    assert found.measure("error_rate").value is None


@pytest.mark.parametrize("subsets", [(), (OTHERS,)], ids=["no subset counted", "another one"])
def test_subset_that_nobody_counted_is_not_one_without_requests(subsets: tuple[str, ...]) -> None:
    """Of the time before a plan read the subset nothing is known."""
    assert window(sampled([entry()], *subsets), BETA).measure("request_rate").value is None


def test_line_that_names_no_subsets_makes_its_second_unknown() -> None:
    """An Envoy that was started before the plan read a subset logs none: no rate of 0 follows."""
    old = replace(entry(), subsets=None)
    rows = sampled([entry(NOON, 200, BETA), old], BETA)
    assert window([row for row in rows if row.at == NOON], BETA).watched == 0
    assert window(rows, None).requests == 2


def counted(entries: list[Entry], *wanted: Wanted, bound: SlowBound | None = None) -> Slice:
    """Return the one slice of these requests."""
    slicer = Slicer(HASHED, wanted=wanted)
    slicer.time_by([bound] if bound else [])
    for each in entries:
        outcome = classify(each)
        assert outcome is not None
        slicer.add(each, outcome)
    (found,) = slicer.pop_changed()
    return found


def sums(found: Slice) -> dict[str, int]:
    """Return the total of each counter."""
    return {name: int(numbers.sum()) for name, numbers in found.sums.items()}


def test_buckets_count_of_a_subset_only_what_a_check_needs() -> None:
    """All kinds of all requests, and of the segment the two that its check is judged by."""
    needed = Wanted(BETA, frozenset({Counter.REQUESTS, Counter.ERRORS}), ())
    found = counted([entry(NOON, 503, BETA), entry(NOON, 404, BETA), entry(NOON, 503)], needed)
    assert {name: number for name, number in sums(found).items() if BETA in name} == {
        f"{BETA} requests": 2, f"{BETA} errors": 1}
    assert sums(found)[Counter.ERRORS] == 2


def test_buckets_count_the_statuses_that_a_check_names() -> None:
    """Of all requests, or of a subset."""
    needed = (Wanted(None, frozenset(), ("status_rate 404",)),
              Wanted(BETA, frozenset({Counter.REQUESTS}), ("status_rate 4xx",)))
    found = sums(counted([entry(NOON, 404), entry(NOON, 403, BETA), entry(NOON, 200)], *needed))
    assert found["status_rate 404"] == 1
    assert found[f"{BETA} status_rate 4xx"] == 1
    assert "status_rate 403" not in found


def test_slow_requests_of_a_subset_are_counted_by_its_own_bound() -> None:
    """Others' requests are not timed by it."""
    bound = SlowBound(f"latency_p95 ratio_to_baseline 1.1 of {BETA}", 1000, 1100)
    needed = Wanted(BETA, frozenset(), ())
    found = sums(counted([entry(NOON, 200, BETA), entry()], needed, bound=bound))
    assert (found[bound.of], found[bound.events]) == (1, 1)
    assert bound.events.startswith(BETA)


def test_requests_of_a_subset_that_a_segment_moved_are_told() -> None:
    """Why a check has nobody to compare is known of the subset itself."""
    moved = replace(entry(NOON, 200, BETA), route="candidate:10000:safe")
    needed = Wanted(BETA, frozenset({Counter.REQUESTS}), ())
    found = counted([entry(), moved], needed)
    assert found.excluded == {
        Excluded.NOT_BY_SPLIT: 1, f"{BETA} {Excluded.NOT_BY_SPLIT}": 1}
