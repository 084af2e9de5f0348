"""Groups of a gate's checks: any, all, and some of them must pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from changeover.analysis.check import CheckResult, as_asked
from changeover.analysis.check_words import group_text
from changeover.analysis.gate import GateResult, fails_its_gate, judge_gate
from changeover.analysis.sequential.judging import LOG_PASS, judge_by_buckets
from changeover.domain.verdict import Verdict
from changeover.errors import InvalidPlan
from changeover.plan.groups import shares
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from tests.core.analysis.test_gate import FAIL, PASS, UNKNOWN, result
from tests.core.analysis.test_judging import hour, sums
from tests.integration.conftest import make_plan

ERRORS = {"metric": "error_rate", "ratio_to_baseline": 2}
UP = {"metric": "up", "at_least": 1}
VERDICTS = st.sampled_from(list(Verdict))


def plan_of(*entries: dict[str, Any]) -> Plan:
    """Return a plan whose gate `slo` has these checks and groups."""
    return make_plan(gates={"slo": list(entries)}, phases=[
        {"phase": "gradual", "gates": ["slo"], "stages": [{"percent": 50, "soak": "1h"}]}])


def judged(
    verdicts: Sequence[Verdict], group: dict[str, Any], *before: CheckResult
) -> GateResult:
    """Return what a gate with one group says, after some other checks."""
    checks = plan_of(group).gates["slo"]
    found = [as_asked(check, result(verdict, f"check {number}"))
             for number, (check, verdict) in enumerate(zip(checks, verdicts, strict=True))]
    return judge_gate("slo", [*before, *found])


def some(needed: int, of: int) -> dict[str, Any]:
    """Return a group of which a number must pass."""
    return {"some": {"at_least": needed, "of": [UP] * of}}


@pytest.mark.parametrize(("group", "verdicts", "said"), [
    ({"any": [UP, UP]}, (FAIL, PASS), PASS),
    ({"any": [UP, UP]}, (FAIL, UNKNOWN), UNKNOWN),
    ({"any": [UP, UP]}, (FAIL, FAIL), FAIL),
    ({"all": [UP, UP]}, (PASS, UNKNOWN), UNKNOWN),
    ({"all": [UP, UP]}, (UNKNOWN, FAIL), FAIL),
    (some(2, 3), (PASS, FAIL, PASS), PASS),
    (some(2, 3), (PASS, FAIL, UNKNOWN), UNKNOWN),
    (some(2, 3), (PASS, FAIL, FAIL), FAIL),
])
def test_group_has_three_answers(
    group: dict[str, Any], verdicts: tuple[Verdict, ...], said: Verdict
) -> None:
    """Enough passed; too few are left; not known yet."""
    found = judged(verdicts, group)
    assert found.verdict is said
    assert {(each.group or {})["verdict"] for each in found.results} == {str(said)}


@st.composite
def groups(draw: st.DrawFn) -> tuple[int, list[Verdict]]:
    """Return how many must pass, and the verdicts of a group's checks."""
    verdicts = draw(st.lists(VERDICTS, min_size=2, max_size=5))
    return draw(st.integers(1, len(verdicts))), verdicts


@given(groups(), st.data())
def test_one_more_pass_never_makes_a_group_worse(
    drawn: tuple[int, list[Verdict]], data: st.DataObject
) -> None:
    """Monotone: whatever a check said before, passing instead harms nobody."""
    needed, verdicts = drawn
    index = data.draw(st.integers(0, len(verdicts) - 1))
    better = [*verdicts[:index], PASS, *verdicts[index + 1:]]
    order = (PASS, UNKNOWN, FAIL)
    before, after = (judged(each, some(needed, len(verdicts))).verdict
                     for each in (verdicts, better))
    assert order.index(after) <= order.index(before)


@given(groups(), st.randoms())
def test_order_of_a_groups_checks_does_not_matter(
    drawn: tuple[int, list[Verdict]], random: Any
) -> None:
    """Which of them stands first in the file decides nothing."""
    needed, verdicts = drawn
    mixed = random.sample(verdicts, len(verdicts))
    group = some(needed, len(verdicts))
    assert judged(verdicts, group).verdict is judged(mixed, group).verdict


@given(st.lists(VERDICTS, min_size=2, max_size=4))
def test_all_is_what_a_gate_is_anyway(verdicts: list[Verdict]) -> None:
    """And any is all of the opposite."""
    grouped = judged(verdicts, {"all": [UP] * len(verdicts)}).verdict
    assert grouped is judge_gate("slo", [result(each) for each in verdicts]).verdict


def test_reason_says_what_was_needed_and_what_came() -> None:
    """A person need not know the plan."""
    found = judged((PASS, FAIL, FAIL), some(2, 3), result(PASS))
    assert found.reason == (
        "at least 2 of 3 must pass, 1 did and 2 failed: check 1, and check 2")
    assert judged((PASS, FAIL), {"any": [UP, UP]}, result(PASS)).reason == "all 2 parts passed"
    assert group_text(found.results[1].as_evidence()) == "at least 2 of 3 must pass: fail"
    assert group_text(found.results[0].as_evidence()) == ""


def test_early_failure_waits_for_as_many_as_fail_the_group() -> None:
    """One of three failed checks leaves two that may still pass."""
    of_three = judged((FAIL, FAIL, PASS), some(2, 3)).results
    alone = replace(of_three[0], group=None)
    assert fails_its_gate(alone, [alone])
    assert not fails_its_gate(of_three[0], of_three[:1])
    assert fails_its_gate(of_three[0], of_three[:2])


def test_nobody_waits_for_the_rest_of_a_group_that_passed() -> None:
    """How much longer its other check needs is of no interest."""
    checks = plan_of({"any": [UP, UP]}).gates["slo"]
    waiting = replace(result(UNKNOWN), outlook={"text": "about 40 minutes more"})
    for other, text in ((PASS, None), (FAIL, {"text": "about 40 minutes more"})):
        both = [as_asked(checks[0], waiting), as_asked(checks[1], result(other))]
        found = judge_gate("slo", both)
        assert found.results[0].outlook == text


def test_failure_that_asks_keeps_its_group_from_passing_only() -> None:
    """Another check of the group may pass in its place."""
    group = {"any": [{**UP, "on_fail": "ask"}, UP]}
    assert judged((FAIL, PASS), group).verdict is PASS
    assert judged((FAIL, FAIL), group).verdict is UNKNOWN


@pytest.mark.parametrize(("entries", "number"), [
    ([ERRORS, ERRORS], 2),
    ([{"all": [ERRORS, ERRORS]}], 2),
    ([{"any": [ERRORS, ERRORS]}], 1),
    ([{"some": {"at_least": 2, "of": [ERRORS] * 3}}], 1.5),
    ([{"any": [ERRORS, UP]}], 1),
    ([UP, {"any": [UP, UP]}], 0),
])
def test_false_alarms_are_shared_by_what_can_fail(
    entries: list[dict[str, Any]], number: float
) -> None:
    """Checks that must fail together may each be wrong more often."""
    assert shares(plan_of(*entries).gates["slo"]) == number


def test_passing_any_of_two_needs_more_evidence_of_each() -> None:
    """Two chances to pass falsely share the one in twenty."""
    alone, grouped = plan_of(ERRORS).gates["slo"], plan_of({"any": [ERRORS, ERRORS]}).gates["slo"]
    stage = sums(hour((0.01, 0.01)))
    bars = [(judge_by_buckets(checks[0], stage).sequential or {})["log_pass"]
            for checks in (alone, grouped)]
    assert bars == [LOG_PASS, pytest.approx(LOG_PASS + math.log(2))]


def written(tmp_path: Path, gate: str) -> Path:
    """Return a plan's file with a gate."""
    path = tmp_path / "plan.yaml"
    path.write_text(
        "migration: one\nsystems:\n  baseline: {name: a, url: http://127.0.0.1:1}\n"
        "  candidate: {name: b, url: http://127.0.0.1:2}\ngates:\n  slo:\n" + gate
        + "phases:\n  - {phase: gradual, gates: [slo], stages: [{percent: 5, soak: 1h}]}\n")
    return path


GOOD = "{metric: error_rate, below: 1%}"


@pytest.mark.parametrize(("gate", "message"), [
    (f"    - {GOOD}\n    - any: [{GOOD}, {{metric: error_rate, below: 1%, often: 1}}]\n",
     "gates.slo[1].any[1].often: 'often' is unknown"),
    (f"    - {GOOD}\n    - some: {{at_least: 3, of: [{GOOD}, {GOOD}]}}\n",
     "at_least 3 of 2 checks can never pass"),
    (f"    - any: [{GOOD}]\n", "gates.slo[0].any"),
    (f"    - any: [{GOOD}, {{metric: up, at_least: 1, on_fail: show}}]\n",
     "cannot have on_fail: show"),
    (f"    - any: [{GOOD}, {GOOD}]\n    - some:\n        at_least: 1\n        of:\n"
     f"          - {GOOD}\n          - {{metric: error_rate, below: 1%, over: 2h}}\n",
     "gates.slo[1].some.of[1]"),
], ids=["unknown key", "never", "one", "shown", "window longer than the soak"])
def test_mistakes_in_a_group_are_shown_where_they_are(
    tmp_path: Path, gate: str, message: str
) -> None:
    """With the place in the file, not the one in our list."""
    with pytest.raises(InvalidPlan) as found:
        load_plan(written(tmp_path, gate))
    assert message in str(found.value)


def test_gate_without_any_check_is_refused() -> None:
    """It would never pass."""
    with pytest.raises(ValidationError, match="at least 1 item"):
        plan_of()


def test_plan_with_groups_is_read_from_the_store_as_it_was() -> None:
    """A stored plan has its checks in one list, and they know their group."""
    plan = plan_of(ERRORS, {"any": [UP, ERRORS]})
    again = Plan.model_validate(plan.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert again.gates == plan.gates
    assert [check.group and check.group.words for check in plan.gates["slo"]] == [
        None, "one of 2 must pass", "one of 2 must pass"]


def test_group_of_shown_results_is_stored() -> None:
    """What decided is in the evidence."""
    (first, _) = judged((FAIL, PASS), {"any": [UP, UP]}).results
    assert first.as_evidence()["group"] == {
        "kind": "any", "number": 0, "needed": 1, "of": 2, "words": "one of 2 must pass",
        "verdict": "pass"}
    assert replace(first, group=None).as_evidence().get("group") is None
