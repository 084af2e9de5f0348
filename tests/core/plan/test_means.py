"""What a check of a mean must say, so that evidence can judge it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from changeover.plan.conditions import CheckSpec
from changeover.plan.rules import warnings
from tests.core.plan.test_reach import plan

BASE: dict[str, Any] = {
    "metric": "outcome.order_value", "ratio_to_baseline": 0.95, "direction": "decrease",
    "range": [0, 500]}


def check(**more: Any) -> CheckSpec:
    return CheckSpec.model_validate({**BASE, **more})


@pytest.mark.parametrize("asked", [
    check(), check(direction="increase", ratio_to_baseline=1.1),
    check(ratio_to_baseline=None, difference_to_baseline=5, range=[-100, 100]),
    CheckSpec(metric="response_bytes", ratio_to_baseline=1.2),
    CheckSpec(metric="response_bytes", difference_to_baseline="2kB"),
])
def test_means_are_judged_by_evidence_by_default(asked: CheckSpec) -> None:
    """As every other comparison with the baseline."""
    assert asked.is_sequential
    assert asked.is_of_mean


def test_outcomes_without_success_are_judged_by_evidence_by_default() -> None:
    """They are a share, not a mean."""
    asked = CheckSpec(metric="outcome_error_rate", ratio_to_baseline=1.5)
    assert asked.is_sequential
    assert not asked.is_of_mean


@pytest.mark.parametrize(("more", "message"), [
    ({"range": None, "test": "sequential"}, "needs `range`: the lowest and the highest value that "
                                            r"count, such as \[0, 1\]; or set `test: threshold`"),
    ({"range": [5, 5]}, "the first value must be the lower one"),
    ({"range": [5]}, "at least 2 items"),
    ({"range": [0, float("inf")]}, "finite number"),
    ({"range": [-1, 5]}, "a ratio of values below 0 means nothing"),
    ({"test": "threshold", "direction": None}, "`range` works with outcome.NAME only"),
    ({"ratio_to_baseline": None, "below": 5, "direction": None}, "`range` works with outcome.NAME"),
    ({"metric": "response_bytes"}, "`range` works with outcome.NAME only"),
    ({"metric": "error_rate", "direction": None}, "`range` works with outcome.NAME only"),
    ({"direction": "either"}, "must be increase or decrease"),
    ({"direction": "sideways"}, "'increase', 'decrease' or 'either'"),
    ({"ratio_to_baseline": 1.05}, "set it below 1, such as 0.95"),
    ({"direction": None}, "where a lower value is worse, `direction: decrease`"),
    ({"ratio_to_baseline": None, "difference_to_baseline": 500}, "as wide as the range"),
    ({"ratio_to_baseline": None, "difference_to_baseline": -5}, "it says how much lower"),
    ({"range": None}, "`direction` works with .* by evidence .which needs `range`"),
])
def test_a_question_without_an_answer_is_refused(more: dict[str, Any], message: str) -> None:
    """One message: what is wrong, and what is allowed."""
    with pytest.raises(ValidationError, match=message) as caught:
        check(**more)
    assert caught.value.error_count() == 1


def test_a_mean_without_a_range_is_warned_of() -> None:
    """It is judged by two means alone, as it always was, unless the plan says so itself."""
    asked = {"metric": "outcome.order_value", "ratio_to_baseline": 1.1}
    (told,) = [each for each in warnings(plan(gates={"slo": [asked]})) if "range" in each]
    assert told.startswith("gate slo: outcome.order_value is compared with the baseline by two ")
    quiet = {**asked, "test": "threshold"}
    assert not [each for each in warnings(plan(gates={"slo": [quiet]})) if "range" in each]
