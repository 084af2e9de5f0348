"""`plan check` says where a segment cannot be compared or read."""

from __future__ import annotations

from typing import Any

import pytest

from changeover.plan.model import Plan
from changeover.plan.rules import check_plan, warnings

SYSTEM = {"name": "x", "url": "http://127.0.0.1:1"}
RATIO = {"ratio_to_baseline": 2}
PHASES = [
    {"phase": "beta", "segments": ["beta"], "soak": "1h", "gates": ["slo"]},
    {"phase": "gradual", "gates": ["slo"], "stages": [{"percent": 50, "soak": "1h"}]},
]


def told(check: dict[str, Any], **parts: Any) -> list[str]:
    """Return the warnings about segments of a plan with one check."""
    condition = {"metric": "error_rate", **check}
    plan = Plan.model_validate({
        "migration": "m",
        "systems": {"baseline": SYSTEM, "candidate": {**SYSTEM, "url": "http://127.0.0.1:2"}},
        "routing": {"segments": {
            name: {"header": "x-cohort", "any_of": [name]} for name in ("beta", "gold")}},
        "gates": {"slo": [condition]}, "phases": PHASES, **parts})
    assert not list(check_plan(plan))
    return [each for each in warnings(plan) if "of segment" in each]


@pytest.mark.parametrize(("check", "words"), [
    ({"segment": "beta", **RATIO}, "all users of beta are moved to the candidate there"),
    ({"segment": "beta", **RATIO, "test": "threshold"}, "give a fixed bound, such as below"),
    ({"segment": "beta", "of": "baseline", "below": "1%"}, "all users of beta are moved"),
    ({"segment": "gold", "below": "1%"}, "no user of gold is on the candidate there"),
], ids=["evidence", "threshold", "of the baseline", "nobody moved yet"])
def test_question_without_an_answer_is_named(check: dict[str, Any], words: str) -> None:
    """With the stage, the reason, and that people will be asked."""
    found = told(check)
    assert words in found[0]
    assert found[0].startswith("stage beta (beta): error_rate of segment")
    assert found[0].endswith("people will be asked")


@pytest.mark.parametrize("check", [
    {"segment": "beta", "below": "1%"}, {"below": "1%"},
    {"metric": "outcome_error_rate", "segment": "beta", "below": "1%"},
], ids=["absolute", "everybody", "outcomes"])
def test_question_with_an_answer_is_not(check: dict[str, Any]) -> None:
    """Absolute bounds of a moved segment are what they are for."""
    assert told(check) == []


def test_outcomes_compared_by_evidence_are_named_as_requests_are() -> None:
    """A moved segment's outcomes have nobody to be compared with either."""
    found = told({"metric": "outcome_error_rate", "segment": "beta", **RATIO})
    assert "all users of beta are moved to the candidate there" in found[0]


def test_segment_that_the_split_decides_can_be_compared() -> None:
    """Only the stage that has nobody of it on the candidate is named."""
    stages = [each.partition(":")[0] for each in told({"segment": "gold", **RATIO})]
    assert stages == ["stage beta (beta)"]
