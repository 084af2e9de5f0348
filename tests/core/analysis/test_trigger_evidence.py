"""Triggers that compare with the baseline are judged by the evidence of gates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from changeover.analysis.sequential.watching import (
    VALID_SECONDS,
    Weighed,
    judge_evidence,
    weigh_trigger,
)
from changeover.analysis.trigger import Judged
from changeover.domain.verdict import Verdict
from changeover.plan.triggers import TriggerSpec
from tests.core.analysis.test_judging import hour, sums, verdict

BACK = Judged(False, True, "ratio 1", 0.01)


def trigger(**changes: object) -> TriggerSpec:
    """Return a trigger on more than twice the baseline's errors."""
    return TriggerSpec.model_validate({
        "name": "worse", "metric": "error_rate", "ratio_to_baseline": 2, "action": "rollback",
        **changes})


def weighed(log_worse: float = 10.0, at: int = 100) -> Weighed:
    """Return evidence that needs 5."""
    return Weighed(at, log_worse >= 5, log_worse <= 2.7, "so it is", {"log_worse": log_worse})


@pytest.mark.parametrize("shares", [(0.01, 0.01), (0.02, 0.01), (0.05, 0.01)])
def test_trigger_says_of_a_stage_what_a_gate_says(shares: tuple[float, float]) -> None:
    """Harm that fails a gate fires the trigger, with the same evidence."""
    stage = sums(hour(shares))
    found = weigh_trigger(trigger(), stage)
    assert found.is_shown == (verdict(stage) is Verdict.FAIL)
    assert (found.numbers["alpha"], found.numbers["margin"]) == (0.01, 2)


def test_triggers_and_checks_share_the_allowed_false_alarms() -> None:
    """With nine others a trigger needs ten times the evidence."""
    bars = [weigh_trigger(trigger(), sums(hour((0.01, 0.01)), checks=number)).numbers["log_bar"]
            for number in (1, 10)]
    assert bars[1] - bars[0] == pytest.approx(2.302585)


def test_nobody_to_compare_or_too_few_are_unknown() -> None:
    """Neither fires, and neither ends what fired."""
    everyone = replace(sums(hour((0.5, 0.01))), weight=10_000)
    few = sums(hour((0.5, 0.01)))
    assert weigh_trigger(trigger(), everyone).is_shown is None
    assert weigh_trigger(trigger(min_samples=10**7), few).is_shown is None


def test_evidence_that_is_old_says_nothing() -> None:
    """When nobody weighs, nothing fires and nothing ends."""
    late = 100 + VALID_SECONDS + 1
    assert judge_evidence(weighed(), BACK, at=late).is_true is None
    assert judge_evidence(weighed(), BACK, at=late).is_back is None
    assert judge_evidence(None, BACK, at=100).is_true is None
    assert judge_evidence(weighed(), BACK, at=late - 1).is_true is True


@pytest.mark.parametrize(("log_worse", "measured", "is_back"), [
    (10.0, BACK, False), (4.0, BACK, False), (1.0, BACK, True),
    (1.0, replace(BACK, is_back=False), False), (1.0, replace(BACK, is_back=None), None),
], ids=["shown", "hardly fallen", "fallen", "value is not back", "value is unknown"])
def test_it_is_over_when_the_evidence_has_fallen_and_the_value_is_back(
    log_worse: float, measured: Judged, is_back: bool | None
) -> None:
    """Evidence just below its bar comes again: that would be told again and again."""
    assert judge_evidence(weighed(log_worse), measured, at=101).is_back is is_back


def test_evidence_is_the_default_where_users_are_counted() -> None:
    """`test: threshold` compares the two values, as other metrics do."""
    assert trigger().is_sequential
    assert not trigger(test="threshold", **{"for": "1m"}).is_sequential
    assert not trigger(metric="memory", **{"for": "1m"}).is_sequential
    assert (trigger().window.total_seconds(), trigger(over="1m").window.total_seconds()) == (
        300, 60)


@pytest.mark.parametrize(("changes", "message"), [
    ({"ratio_to_baseline": 1}, "allow some margin, above 1, or set `test: threshold`"),
    ({"ratio_to_baseline": None, "above": "1%", "test": "sequential"}, "compares the two systems"),
    ({"metric": "memory", "test": "sequential"}, "does not work with memory, only with"),
    ({"test": "threshold"}, "`for` is required: how long it must be true; 0s means at once"),
    ({"ratio_to_baseline": None, "above": "1%"}, "`for` is required"),
])
def test_trigger_that_cannot_be_judged_is_refused(
    changes: dict[str, object], message: str
) -> None:
    """The message says what is allowed."""
    with pytest.raises(ValueError, match=message):
        trigger(**changes)
