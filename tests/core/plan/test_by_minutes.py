"""A plan can ask for the ranks of single minutes where there are minutes to compare."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from changeover.plan.conditions import CheckSpec
from changeover.plan.reach import unreachable
from tests.core.plan.test_reach import plan

BASE: dict[str, Any] = {"metric": "error_rate", "test": "mann_whitney"}


@pytest.mark.parametrize(("more", "message"), [
    ({"ratio_to_baseline": 0.9}, "needs ratio_to_baseline of 1 or more"),
    ({"difference_to_baseline": "1%"}, "needs ratio_to_baseline of 1 or more"),
    ({"below": "1%"}, "needs ratio_to_baseline of 1 or more"),
    ({"metric": "outcome_error_rate", "ratio_to_baseline": 1.1}, "does not work with outcome_err"),
    ({"metric": "similarity", "ratio_to_baseline": 1.1}, "does not work with similarity"),
    ({"test": "threshold", "direction": "either", "ratio_to_baseline": 1.1},
     "`direction: either` works with `test: mann_whitney` only"),
    ({"test": None, "direction": "decrease", "ratio_to_baseline": 1.1},
     "`direction` works with `test: mann_whitney`, and with response_bytes and outcome.NAME"),
    ({"direction": "upwards", "ratio_to_baseline": 1.1}, "direction"),
])
def test_what_has_no_meaning_is_refused(more: dict[str, Any], message: str) -> None:
    """With what is needed instead."""
    with pytest.raises(ValidationError, match=message):
        CheckSpec.model_validate({**BASE, **more})


def test_ratio_of_one_is_allowed() -> None:
    """It is Kayenta's default: any difference that is shown fails."""
    check = CheckSpec.model_validate({**BASE, "ratio_to_baseline": 1})
    assert check.is_by_minutes
    assert not check.is_sequential


@pytest.mark.parametrize(("over", "problems"), [("5m", 1), ("6m", 0), (None, 0)])
def test_window_without_enough_minutes_is_refused(over: str | None, problems: int) -> None:
    """Five whole minutes fit into six, wherever they begin; the soak has sixty."""
    asked = {**BASE, "ratio_to_baseline": 1.1, "over": over}
    found = [text for _, text in unreachable(plan(gates={"slo": [asked]}))]
    assert len(found) == problems
    assert all("needs 5 whole minutes of each system" in text for text in found)
