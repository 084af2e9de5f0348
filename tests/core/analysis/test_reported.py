"""Outcomes become sums by bucket: whose they are decides, and their key is kept nowhere."""

from __future__ import annotations

from typing import Any

import pytest

from changeover.analysis.sequential.counters import Valued
from changeover.analysis.sequential.reported import Counting
from changeover.analysis.sequential.scales import Scale
from changeover.analysis.sequential.slices import OF_OUTCOMES, REPORTED_TO, Excluded, Slice, Told
from changeover.domain.outcomes import Outcome
from changeover.domain.routing import Mode, RoutingState, bucket
from changeover.plan.routing import HASHED

SCALE = Scale("outcome.confidence", 0.0, 1.0, ratio=0.5)
COUNTING = Counting(HASHED, frozenset({"beta"}),
                    [Valued(None, SCALE), Valued("segment:beta", SCALE)],
                    lambda key: frozenset({"beta"} if key == "bea" else ()))
HALF = RoutingState("shop", Mode.GRADUAL, 5000)


def of(key: str, **more: Any) -> Outcome:
    """Return an outcome of the system that the key's user is sent to at 50 %."""
    if "system" not in more:
        more["system"] = "candidate" if key.strip() and bucket(key) < 5000 else "baseline"
    return Outcome(**{"id": "o1", "is_success": True, "key": key, **more})


def counted(*batch: Outcome, state: RoutingState = HALF) -> Slice | None:
    return COUNTING.slice_of(batch, state, at=1000)


def cells(found: Slice | None) -> dict[str, dict[int, int]]:
    """Return what is not 0."""
    assert found is not None
    return {name: {int(number): int(numbers[number]) for number in numbers.nonzero()[0]}
            for name, numbers in found.sums.items()}


def a_key(*, is_candidate: bool) -> str:
    return next(key for key in map(str, range(99)) if (bucket(key) < 5000) == is_candidate)


def test_an_outcome_counts_in_the_bucket_of_its_user() -> None:
    """With its failure and its number; the candidate's lose the margin first."""
    key = a_key(is_candidate=True)
    found = counted(of(key, is_success=False, quality={"confidence": 0.25, "pages": 3}))
    place = bucket(key)
    assert cells(found) == {
        Told.OUTCOMES: {place: 1}, Told.FAILED: {place: 1}, SCALE.of: {place: 1},
        SCALE.events: {place: 50}, SCALE.squares: {0: 2500}}
    assert found is not None
    assert (found.weight, found.start, found.gateway) == (5000, 1000, REPORTED_TO)


def test_the_baselines_values_count_as_they_are() -> None:
    """At the margin both systems' sums are alike."""
    key = a_key(is_candidate=False)
    assert cells(counted(of(key, quality={"confidence": 0.5})))[SCALE.events] == {bucket(key): 50}


def test_no_key_is_in_what_is_stored() -> None:
    """Neither as text nor by anything but the bucket."""
    found = counted(of("ann@shop.example"), of("", id="o2"))
    assert "ann" not in repr(found)
    assert "ann@shop.example" not in repr(of("ann@shop.example"))


@pytest.mark.parametrize(("one", "reason"), [
    (of(""), Excluded.NO_KEY), (of(" \t"), Excluded.NO_KEY),
    (of("a\ud800", system="baseline"), Excluded.NO_KEY),
    (of(a_key(is_candidate=True), system="baseline"), Excluded.UNCLEAR_KEY),
])
def test_what_the_split_did_not_decide_is_counted_by_reason(
    one: Outcome, reason: Excluded
) -> None:
    """No key, a key that no request carries, the other system than the key's."""
    found = counted(one)
    assert found is not None
    assert (found.sums, found.excluded) == ({}, {OF_OUTCOMES + reason: 1})


@pytest.mark.parametrize("state", [
    RoutingState("shop", Mode.GRADUAL, 5000, segments=("beta",)),
    RoutingState("shop", Mode.GRADUAL, 5000, kept=("beta",)),
])
@pytest.mark.parametrize("one", [of("bea"), of("eve", segments=("beta",))])
def test_users_moved_by_a_segment_are_left_out(state: RoutingState, one: Outcome) -> None:
    """They differ from the rest before anything happens."""
    found = counted(one, state=state)
    assert found is not None
    assert found.excluded == {
        OF_OUTCOMES + Excluded.NOT_BY_SPLIT: 1,
        f"segment:beta {OF_OUTCOMES}{Excluded.NOT_BY_SPLIT}": 1}


def test_a_segments_outcomes_have_sums_of_their_own() -> None:
    """Also where the key alone says that the user is in it."""
    found = cells(counted(of("bea", quality={"confidence": 0.5})))
    assert found[f"segment:beta {Told.OUTCOMES}"] == found[Told.OUTCOMES] == {bucket("bea"): 1}
    assert f"segment:beta {SCALE.events}" in found


@pytest.mark.parametrize("mode", [Mode.BASELINE_ONLY, Mode.SHADOW, Mode.PARALLEL])
def test_before_users_move_the_baselines_outcomes_are_the_past(mode: Mode) -> None:
    """In parallel both systems work, but users get the baseline's."""
    state = RoutingState("shop", mode)
    found = counted(of("ann", system="baseline"), of("ann", system="candidate"), state=state)
    assert found is not None
    assert found.weight == 0
    assert cells(found)[Told.OUTCOMES] == {bucket("ann"): 1}


def test_with_everyone_on_the_candidate_nothing_is_compared() -> None:
    """There is no split, and no past of the baseline either."""
    assert counted(of("ann"), state=RoutingState("shop", Mode.CANDIDATE_ONLY, 10_000)) is None
