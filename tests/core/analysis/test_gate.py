"""Gates and what follows from them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.check import CheckResult, as_asked
from changeover.analysis.check_words import asks_people, gate_word
from changeover.analysis.gate import decide_stage, judge_gate
from changeover.domain.rollout import StageAction
from changeover.domain.verdict import Verdict, worst
from changeover.plan.conditions import CheckSpec, OnFail

AT = datetime(2026, 1, 1, tzinfo=UTC)
PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE


def result(verdict: Verdict, reason: str = "because") -> CheckResult:
    """Return a check's result with a verdict."""
    return CheckResult("up", "candidate", "below 1", verdict, reason, 1.0, 10, 10, AT, AT)


@given(st.lists(st.sampled_from(list(Verdict))))
def test_gate_has_the_worst_verdict_of_its_checks(verdicts: list[Verdict]) -> None:
    """A gate is never better than its worst check."""
    assert judge_gate("slo", [result(v) for v in verdicts]).verdict is worst(verdicts)


def test_gate_reason_names_the_checks_that_decided() -> None:
    """The reasons of the checks with the worst verdict are the gate's."""
    gate = judge_gate("slo", [result(FAIL, "slow"), result(UNKNOWN, "few"), result(FAIL, "wrong")])
    assert gate.reason == "slow; wrong"


def test_gate_that_passes_says_how_many_checks() -> None:
    """A pass says how many checks stand behind it."""
    assert judge_gate("slo", [result(PASS)]).reason == "its one check passed"
    assert judge_gate("slo", [result(PASS)] * 3).reason == "all 3 checks passed"


def test_gate_without_checks_is_inconclusive_and_says_so() -> None:
    """An empty gate never lets traffic through."""
    gate = judge_gate("slo", [])
    assert (gate.verdict, gate.reason) == (UNKNOWN, "the gate has no check")


@pytest.mark.parametrize(("on_fail", "verdict", "reason"), [
    (OnFail.ROLLBACK, FAIL, "slow"),
    (OnFail.ASK, UNKNOWN, "people are asked, because slow"),
    (OnFail.SHOW, PASS, "its one check passed"),
])
def test_failed_check_does_what_the_plan_says(
    on_fail: OnFail, verdict: Verdict, reason: str
) -> None:
    """A check that is only shown never decides; one that asks neither fails the gate nor passes."""
    gate = judge_gate("slo", [replace(result(FAIL, "slow"), on_fail=on_fail), result(PASS)])
    assert (gate.verdict, gate.reason) == (verdict, reason)


def test_failure_that_asks_has_words_of_its_own() -> None:
    """It is neither a failure nor too little data: somebody's answer is missing."""
    asking, unknown = replace(result(FAIL, "slow"), on_fail=OnFail.ASK), result(UNKNOWN)
    evidence = [each.as_evidence() for each in (asking, unknown)]
    assert [asks_people(each) for each in evidence] == [True, False]
    assert gate_word(UNKNOWN, evidence) == "asks people"
    assert gate_word(UNKNOWN, evidence[1:]) == "inconclusive"
    assert gate_word(FAIL, evidence) == "fail"


def test_gate_of_which_everything_is_only_shown_passes_nobody() -> None:
    """What decides nothing lets nothing through."""
    gate = judge_gate("slo", [replace(result(PASS), on_fail=OnFail.SHOW)])
    assert (gate.verdict, gate.reason) == (UNKNOWN, "every check of the gate is only shown")


@pytest.mark.parametrize(("samples", "on_no_data", "verdict"), [
    (3, "fail", FAIL), (3, "inconclusive", UNKNOWN), (10, "fail", UNKNOWN),
])
def test_too_few_samples_fail_where_the_plan_wants_data(
    samples: int, on_no_data: str, verdict: Verdict
) -> None:
    """Undecided with enough samples is no missing data."""
    check = CheckSpec.model_validate({"metric": "up", "at_least": 1, "on_no_data": on_no_data})
    found = as_asked(check, replace(result(UNKNOWN), samples=samples))
    assert found.verdict is verdict


@pytest.mark.parametrize("needs_approval", [False, True])
@pytest.mark.parametrize("rechecks", [0, 1])
@pytest.mark.parametrize("verdict", list(Verdict))
def test_stage_follows_the_truth_table(
    verdict: Verdict, rechecks: int, needs_approval: bool
) -> None:
    """Every combination of verdict, patience and approval has one decided action."""
    decision = decide_stage(
        verdict=verdict, rechecks_left=rechecks, needs_approval=needs_approval
    )
    expected = {
        FAIL: StageAction.ROLLBACK,
        PASS: StageAction.ASK if needs_approval else StageAction.PROMOTE,
        UNKNOWN: StageAction.WAIT if rechecks else StageAction.ASK,
    }[verdict]
    assert decision.action is expected
    assert decision.reason
