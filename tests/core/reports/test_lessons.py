"""What a cutover teaches: where the time went, what nearly fired, what changed its mind, advice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.rollout import CutoverStatus, StageAction
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from changeover.plan.triggers import TriggerSpec
from reports.lessons import advice, flaky, near, times
from reports.lessons.advice import Facts
from reports.lessons.model import Flaky, Near, StageTime, Unseen, Watch
from reports.lessons.near import Seen
from reports.model import StageStanding, StageView
from tests.core.reports.hand_made import (
    AT,
    after,
    approval,
    check,
    evaluation,
    event,
    firing,
    stage,
)

SECONDS = st.floats(0, 1000, allow_nan=False)
SPANS = st.lists(st.tuples(SECONDS, SECONDS).map(sorted), max_size=6)
VERDICTS = st.lists(st.sampled_from([str(each) for each in Verdict]), max_size=20)


def trigger(**changes: Any) -> TriggerSpec:
    """Return a trigger that fires above 2 % errors."""
    values = {"name": "errors", "metric": "error_rate", "above": "2%", "for": "5s",
              "action": "rollback"}
    return TriggerSpec.model_validate({**values, **changes})


def spent(**changes: Any) -> StageTime:
    """Return a stage in which nothing took longer than planned."""
    return replace(StageTime(
        "beta-5", "beta 5 %", "promoted", 500, seconds=60.0, soak_seconds=60.0,
        people_seconds=0.0, paused_seconds=0.0, other_seconds=0.0, rounds=1, rechecks=0), **changes)


def close(**changes: Any) -> Near:
    """Return a trigger that came half of its way."""
    return replace(Near(
        Watch.TRIGGER, "errors", "above 2.000 %", 0.5, "1.000 %", AT, "beta 5 %", "minutes",
        fired=False), **changes)


def rules(facts: Facts) -> list[str]:
    """Return the names of the rules that say something."""
    return [each.rule for each in advice.advice(facts)]


@given(SPANS, SPANS, SECONDS, SECONDS)
def test_every_moment_of_a_stage_counts_once(
    asked: list[list[float]], paused: list[list[float]], soak: float, lasted: float
) -> None:
    """Whoever was asked or paused at the same time, the parts add up to the time in the stage."""
    questions = tuple(
        approval(asked_at=after(first), answered_at=after(last)) for first, last in asked)
    view = stage(soak_seconds=soak, decided_at=after(lasted), approvals=questions)
    pauses = [(after(first), after(last)) for first, last in paused]
    (found,) = times.stage_times([view], pauses, end=after(2000))
    parts = (found.soak_seconds, found.people_seconds, found.paused_seconds, found.other_seconds)
    assert all(part >= -1e-3 for part in parts)
    assert sum(parts) == pytest.approx(lasted, abs=1e-2)


def test_waiting_for_people_begins_after_the_soak() -> None:
    """A person who is asked while it soaks has cost no time yet."""
    view = stage(soak_seconds=30, decided_at=after(100), approvals=(
        approval(asked_at=after(10), answered_at=after(70)),))
    (found,) = times.stage_times([view], [], end=after(100))
    assert (found.soak_seconds, found.people_seconds, found.other_seconds) == (30, 40, 30)


def test_pause_that_nobody_ended_lasts_until_the_end() -> None:
    """What is paused still is paused."""
    events = [event("cutover.pause", 10), event("cutover.pause", 11), event("cutover.resume", 20),
              event("cutover.pause", 50)]
    assert times.pauses_of(events, start=AT, end=after(60)) == [
        (after(10), after(20)), (after(50), after(60))]


@pytest.mark.parametrize(("changes", "value", "baseline", "share"), [
    ({}, 0.01, None, 0.5),
    ({}, 0.03, None, 1.5),
    ({"above": 0, "metric": "request_rate"}, 0.0, None, 0.0),
    ({"above": 0, "metric": "request_rate"}, 0.1, None, 1.0),
    ({"metric": "up", "above": None, "below": 1}, 1.0, None, 0.0),
    ({"metric": "up", "above": None, "below": 1}, 0.9, None, 1.0),
    ({"metric": "similarity", "above": None, "below": "90%"}, 0.95, None, 0.5),
    ({"metric": "request_rate", "above": None, "below": 5}, 10.0, None, 0.5),
    ({"metric": "latency_p95", "above": None, "ratio_to_baseline": 1.5, "test": "threshold"},
     0.012, 0.010, 0.4),
    ({"metric": "latency_p95", "above": None, "ratio_to_baseline": 1.5, "test": "threshold"},
     0.012, None, None),
    ({"above": None, "difference_to_baseline": "1%", "test": "threshold"}, 0.012, 0.010, 0.2),
    ({"above": None, "between": ["1%", "2%"]}, 0.005, None, 0.5),
])
def test_share_of_the_way_to_a_bound(
    changes: dict[str, Any], value: float, baseline: float | None, share: float | None
) -> None:
    """0 is as good as can be, 1 is the bound; what cannot be said is not said."""
    found = near.share_of_way(trigger(**changes), value, baseline)
    assert found == (None if share is None else pytest.approx(share))


@given(st.floats(0, 1), st.floats(0, 1))
def test_worse_values_are_nearer(first: float, second: float) -> None:
    """The share of the way grows with the value, whatever the values are."""
    low, high = sorted((first, second))
    shares = [near.share_of_way(trigger(), value, None) for value in (low, high)]
    assert shares[0] is not None and shares[1] is not None
    assert 0 <= shares[0] <= shares[1]


def test_nearest_moment_of_a_trigger_is_told_with_its_stage() -> None:
    """The first of equally near moments, and the stage that soaked then."""
    stages = [stage(entered_at=after(10)), stage("gradual-50", entered_at=after(40))]
    seen = [Seen(after(5), 0.001, None, "minutes"), Seen(after(45), 0.018, None, "minutes"),
            Seen(after(50), 0.018, None, "minutes")]
    found = near.of_trigger(trigger(), seen, [], stages)
    assert found is not None
    assert (found.share, found.at, found.stage) == (
        pytest.approx(0.9), after(45), "gradual 50 %")
    assert (found.value, found.fired) == ("1.800 %", False)


def test_trigger_that_fired_is_at_its_bound_at_least() -> None:
    """Minutes hide the seconds in which it fired."""
    found = near.of_trigger(trigger(), [Seen(AT, 0.001, None, "minutes")], [firing()], [stage()])
    assert found is not None
    assert found.fired and found.share >= 1


def test_trigger_without_any_value_is_not_called_far() -> None:
    """No data is no distance."""
    assert near.of_trigger(trigger(), [], [], []) is None


def test_check_is_as_near_as_its_worst_verdict() -> None:
    """By its bound where a value decides, by evidence of harm where that does."""
    spec = CheckSpec.model_validate({"metric": "error_rate", "below": "0.5%"})
    asked = spec.model_dump(mode="json", exclude_defaults=True)
    weighed = {"log_worse": 2.3, "log_bar": 4.6}
    evaluations = (
        evaluation(evidence=[check(value=0.001, check=asked)]),
        evaluation(evidence=[check(value=0.004, check=asked)], number=2),
        evaluation(evidence=[check(metric="latency_p95", sequential=weighed)], number=3))
    found, unseen = near.of_checks([stage(evaluations=evaluations)])
    assert [each.share for each in found] == [pytest.approx(0.8), pytest.approx(0.5)]
    assert unseen == []


def test_check_that_never_had_data_is_told_apart() -> None:
    """Inconclusive every time: it protected nobody. Decided once: it did."""
    never = check(verdict="inconclusive", reason="3 of 100 samples", value=None)
    once = check(metric="up", verdict="inconclusive")
    then = check(metric="up", verdict="pass")
    _, unseen = near.of_checks([stage(evaluations=(
        evaluation(evidence=[never, once]), evaluation(evidence=[never, then], number=2)))])
    assert [each.reason for each in unseen] == ["3 of 100 samples"]


@given(VERDICTS)
def test_evidence_that_grows_is_no_change_of_mind(verdicts: list[str]) -> None:
    """However many inconclusive verdicts lie before the first other one."""
    steady = [*["inconclusive"] * len(verdicts), "pass", "pass"]
    assert not flaky.is_flaky(steady)
    # what lies between is left out
    assert flaky.flips(verdicts) == flaky.flips(
        [each for each in verdicts if each != "inconclusive"])


@pytest.mark.parametrize(("verdicts", "is_flaky"), [
    ([], False), (["pass"], False), (["fail", "pass"], True),
    (["pass", "inconclusive", "fail"], True), (["pass", "inconclusive", "pass"], False),
    (["pass", "inconclusive", "pass", "inconclusive"], True),
])
def test_what_counts_as_a_change_of_mind(verdicts: list[str], is_flaky: bool) -> None:
    """From pass to fail or back, or a pass that is lost twice."""
    assert flaky.is_flaky(verdicts) is is_flaky


def test_flaky_check_is_found_in_its_stage() -> None:
    """What is only shown decides nothing, whatever it thinks."""
    evaluations = tuple(
        evaluation(evidence=[check(verdict=said), check(verdict=said, metric="up", on_fail="show")],
                   number=number)
        for number, said in enumerate(["pass", "fail", "pass"], 1))
    (found,) = flaky.flaky_checks([stage(evaluations=evaluations)])
    assert (found.stage, found.flips, found.verdicts) == ("beta 5 %", 2, ("pass", "fail", "pass"))


def test_cutover_in_which_all_went_well_teaches_to_keep_the_plan() -> None:
    """Nothing is advised for advice's sake; while it runs nothing is said at all."""
    facts = Facts(CutoverStatus.PROMOTED, [spent()], [close(share=0.3)])
    assert rules(facts) == ["keep"]
    assert rules(replace(facts, status=CutoverStatus.RUNNING)) == []


@pytest.mark.parametrize(("changes", "rule"), [
    ({"near": [close(share=1.2, fired=True)]}, "fired"),
    ({"near": [close(share=0.85)]}, "nearly"),
    ({"near": [close(share=0.05)]}, "tighter"),
    ({"flaky": [Flaky("beta", "slo", "errors", 2, 0, ("pass", "fail", "pass"))]}, "flaky"),
    ({"stages": [spent(rechecks=3, other_seconds=900.0)]}, "longer-soak"),
    ({"stages": [spent(people_seconds=5 * 3600.0)]}, "waited"),
    ({"approvals": [approval(decision=StageAction.HOLD, comment="p95 looks high")]}, "held"),
    ({"unseen": [Unseen(Watch.CHECK, "slo: up", "no probes")]}, "no-data"),
    ({"regressions": ["$.total"]}, "regressions"),
])
def test_each_rule_says_its_own_and_nothing_else(changes: dict[str, Any], rule: str) -> None:
    """Whatever is advised has its numbers beside it."""
    facts = replace(Facts(CutoverStatus.PROMOTED, [spent()], [close(share=0.3)]), **changes)
    assert rules(facts) == [rule]
    assert all(each.reason and each.text for each in advice.advice(facts))


def test_large_step_before_a_rollback_gets_a_stage_in_between() -> None:
    """From 5 % to 50 % and back: about 16 % lies between, by the same factor on both sides."""
    stages = [spent(), spent(title="gradual 50 %", weight=5000, status="rolled_back")]
    facts = Facts(CutoverStatus.ROLLED_BACK, stages, [close()])
    (found,) = advice.advice(facts)
    assert found.rule == "smaller-step"
    assert "16 %" in found.text
    assert "10.0 times" in found.reason


def test_answer_that_a_rollback_made_void_is_no_lesson() -> None:
    """A hold that decided nothing asks for no check."""
    held = approval(decision=StageAction.HOLD, is_void=True)
    assert rules(Facts(CutoverStatus.PROMOTED, [spent()], [close()], approvals=[held])) == ["keep"]


def test_stage_at_a_time_is_the_newest_that_was_entered() -> None:
    """Before the first stage there is none; a stage to come is none either."""
    stages: list[StageView] = [
        stage(entered_at=after(10)),
        stage("gradual-50", entered_at=None, status=StageStanding.TO_COME)]
    assert near.stage_at(stages, AT) == ""
    assert near.stage_at(stages, AT + timedelta(hours=1)) == "beta 5 %"
