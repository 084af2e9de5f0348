"""Another plan's gates put to what a judged stage left in the store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.analysis.backtest.found import UNKNOWN, Backtest, Change, NotKnown
from changeover.analysis.window import Sample
from changeover.cli.backtest import backtest as command
from changeover.domain.rollout import StageAction
from changeover.domain.slices import LogPlace
from changeover.errors import InvalidInput
from changeover.plan.guardrails import GATE
from changeover.plan.model import Plan
from changeover.plan.procedures import RetentionSpec
from changeover.procedures.backtest.run import Asked, backtest
from changeover.procedures.gate import judge_stage
from changeover.procedures.steps import CutoverRun
from changeover.site.bucket_sums import packed
from changeover.store import cutovers, pruning, samples, slices
from tests.core.analysis.mean_stages import check as order_values
from tests.core.analysis.mean_stages import values_slice
from tests.integration.conftest import make_plan
from tests.support.clocks import live_at
from tests.support.soaking_stage import (
    SEEN,
    STAGE,
    Gates,
    phases,
    printed,
    soaking,
    stored,
    traffic,
)

NOW = clock.now().replace(second=0, microsecond=0)
ENTERED = NOW - timedelta(minutes=20, seconds=30)
MINUTE = 60
VALUE = order_values()
PLANS: dict[str, list[dict[str, Any]]] = {
    "evidence": [{"metric": "error_rate", "ratio_to_baseline": 2},
                 {"metric": "client_error_rate", "difference_to_baseline": "1%"}],
    "values": [{"metric": "error_rate", "below": "3%"},
               {"metric": "error_rate", "ratio_to_baseline": 2, "test": "threshold"},
               {"metric": "up", "at_least": 1, "over": "5m", "on_no_data": "fail"}],
    "means": [VALUE.model_dump(exclude_defaults=True)],
    "minutes": [{"metric": "error_rate", "ratio_to_baseline": 1.5, "test": "mann_whitney"}],
    "asks": [{"metric": "error_rate", "below": "1%", "on_fail": "ask"},
             {"metric": "error_rate", "ratio_to_baseline": 3, "on_fail": "show"}],
    "groups": [{"any": [{"metric": "error_rate", "below": "1%"},
                        {"metric": "error_rate", "ratio_to_baseline": 5}]},
               {"some": {"at_least": 2, "of": [{"metric": "up", "at_least": 1},
                                               {"metric": "error_rate", "below": "2%"},
                                               {"metric": "error_rate", "below": "50%"}]}}],
    "score": [{"score": {"pass": 75, "of": [
        {"metric": "error_rate", "ratio_to_baseline": 1.5, "test": "mann_whitney"},
        {"metric": "client_error_rate", "ratio_to_baseline": 1.5, "test": "mann_whitney"}]}}],
    "slow": [{"metric": "latency_p95", "ratio_to_baseline": 1.2},
             {"metric": "latency_p99", "below": "1s"}],
}


@pytest.fixture(autouse=True)
def lives_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moments above stay the present, however long the other tests take."""
    live_at(monkeypatch, NOW + timedelta(seconds=30))


def measure(run: CutoverRun, errors: int) -> None:
    """Store an hour at the baseline and the stage; of 1000 requests so many fail."""
    first = int(ENTERED.timestamp()) + 30
    rows = [
        Sample(system, first + MINUTE * number, MINUTE, requests=1000, probes=60, probes_up=60,
               errors={"status_5xx": each + number % 3})
        for number in range(-60, 20) for system, each in (
            ("baseline", 10), ("candidate", errors)) if number >= 0 or system == "baseline"]
    samples.write(run.site.store, run.migration, rows)
    share = errors / 1000
    before = (ENTERED - timedelta(hours=1)).timestamp()
    found = [traffic(0, before, (0.01, 0.01), 1)]
    found += [traffic(5000, ENTERED.timestamp() + 400 + MINUTE * index, (share, 0.01), 2 + index)
              for index in range(3)]
    slices.save(run.site.store, run.migration, [packed(each) for each in found],
                LogPlace(1, 1), gateway="main")


def report_values(run: CutoverRun, times: float) -> None:
    """Store outcomes of an hour at the baseline and of the stage, whose values are lower."""
    begin, found = int(ENTERED.timestamp()), []
    for start, weight in ((begin - 3600, 0), (begin + 400, 5000)):
        one = values_slice(VALUE, times, weight=weight, seed=weight)
        sums = {name: numbers for name, numbers in one.sums.items() if name != "requests"}
        found.append(packed(replace(one, start=start, end=start + 60, sums=sums)))
    slices.save(run.site.store, run.migration, found, LogPlace(1, 1), gateway="main")


@pytest.fixture
def run(
    request: pytest.FixtureRequest, store_url: str, tmp_path: Path
) -> Iterator[CutoverRun]:
    """A stage of 50 % that was judged by one of `PLANS`, with three times the errors.

    `values without split` is a plan that turns the guardrail `split` off.
    """
    name, _, left_out = getattr(request, "param", "evidence").partition(" without ")
    off = {left_out: {"off": "a test"}} if left_out else {}
    with soaking(store_url, tmp_path, {"slo": PLANS[name]}, entered=ENTERED,
                 guardrails=off) as found:
        measure(found, 30)
        if name == "means":
            report_values(found, 0.9)
        judge_stage(found, STAGE, SEEN)
        yield found


def asked(gates: Gates | Sequence[Mapping[str, Any]], **other: Any) -> Plan:
    """Return a plan with these gates, or with these checks in its one gate."""
    named = gates if isinstance(gates, Mapping) else {"slo": gates}
    return make_plan(**{"gates": named, "phases": phases(named), **other})


def found(run: CutoverRun, plan: Plan, since: timedelta = timedelta(days=14)) -> Backtest:
    """Return what a backtest finds."""
    until = clock.now()
    return backtest(run.site, Asked(plan, until - since, until), lambda *_: None)


@pytest.mark.parametrize("run", sorted(PLANS), indirect=True)
def test_unchanged_plan_gives_exactly_the_stored_verdicts(run: CutoverRun) -> None:
    """Every number of every check is that of the verdict, to the last bit."""
    again = found(run, run.site.plan)
    (evaluation,) = again.evaluations
    gate = evaluation.gates[0]
    known = stored(run)
    assert gate.now == gate.then == known.verdict
    assert evaluation.now is evaluation.then
    assert not again.is_other
    assert [each.change for each in gate.checks] == [Change.SAME] * len(known.evidence)
    for check, evidence in zip(gate.checks, known.evidence, strict=True):
        assert check.now == evidence["verdict"]
        told = json.loads(json.dumps(check.evidence))
        assert {name: evidence[name] for name in told} == told


@pytest.mark.parametrize("run", ["means"], indirect=True)
def test_a_mean_is_judged_and_told_of_as_other_evidence(run: CutoverRun) -> None:
    """The gate fails by the lower values; another margin was never counted, and that is said."""
    assert stored(run).verdict == "fail"
    assert "less than 0.95 times the baseline's is shown" in stored(run).evidence[0]["reason"]
    other = {**PLANS["means"][0], "ratio_to_baseline": 0.8}
    again = found(run, asked([other]))
    assert any("was never counted by bucket" in each.why for each in again.unknown)


def test_unchanged_plan_gives_them_also_when_nothing_else_is_kept(run: CutoverRun) -> None:
    """What a verdict was reached by is stored with it."""
    slices.prune(run.site.store, run.migration, before=2**40)
    short = RetentionSpec(seconds=timedelta(0), minutes=timedelta(minutes=1))
    pruning.prune(run.site.store, run.migration, short, now=clock.now())
    measure_now(run)
    (evaluation,) = found(run, run.site.plan).evaluations
    assert evaluation.gates[0].now == stored(run).verdict == "fail"


def measure_now(run: CutoverRun) -> None:
    """Store one more second, so that something is kept."""
    second = int(clock.now().timestamp()) - 1
    samples.write(run.site.store, run.migration, [Sample("baseline", second, requests=1)])


@pytest.mark.parametrize(("check", "verdict", "action"), [
    ({"metric": "error_rate", "ratio_to_baseline": 10}, "pass", StageAction.PROMOTE),
    ({"metric": "error_rate", "ratio_to_baseline": 1.1}, "fail", StageAction.ROLLBACK),
    ({"metric": "error_rate", "ratio_to_baseline": 1.1, "on_fail": "ask"},
     "inconclusive", StageAction.ASK),
    ({"metric": "error_rate", "below": "2%"}, "fail", StageAction.ROLLBACK),
    ({"metric": "error_rate", "below": "5%", "over": "10m"}, "pass", StageAction.PROMOTE),
    ({"metric": "server_error_rate", "at_most": "5%"}, "pass", StageAction.PROMOTE),
    ({"metric": "client_error_rate", "ratio_to_baseline": 2}, "pass", StageAction.PROMOTE),
    ({"metric": "error_rate", "ratio_to_baseline": 1.5, "test": "mann_whitney"},
     "fail", StageAction.ROLLBACK),
], ids=lambda value: str(value) if isinstance(value, str) else "")
def test_another_question_is_put_to_what_is_kept(
    run: CutoverRun, check: dict[str, Any], verdict: str, action: StageAction
) -> None:
    """Another bound, another window, another metric: each with what would have followed."""
    (evaluation,) = found(run, asked([check])).evaluations
    assert (evaluation.gates[0].now, evaluation.now) == (verdict, action), evaluation
    assert evaluation.then is StageAction.ROLLBACK
    assert evaluation.is_other == (verdict != "fail")


@pytest.mark.parametrize("run", ["values without split"], indirect=True)
def test_guardrails_that_were_off_are_listed_and_decide_nothing(run: CutoverRun) -> None:
    """What one would have said then, nobody can tell; off in both plans, nobody asks."""
    def unknown(plan: Plan) -> list[NotKnown]:
        return [each for each in found(run, plan).unknown if "guardrail" in each.what]

    (listed,) = unknown(asked(PLANS["values"]))
    assert listed.what.endswith("gate guardrails: guardrail split")
    assert listed.why == "it was off then"
    assert not found(run, asked(PLANS["values"])).is_other
    assert unknown(run.site.plan) == []


@pytest.mark.parametrize("run", ["values"], indirect=True)
def test_turning_a_guardrail_off_that_saw_nothing_changes_nothing(run: CutoverRun) -> None:
    """Too little data for some of those that are left decides nothing, as in a cutover."""
    for name in ("errors", "client_errors", "split", "down"):
        left = asked(PLANS["values"], guardrails={name: {"off": "a test"}})
        (evaluation,) = found(run, left).evaluations
        guardrails = [each for each in evaluation.gates if each.gate == GATE]
        assert [each.now in (each.then, "pass") for each in guardrails] == [True], name


@pytest.mark.parametrize("run", ["asks"], indirect=True)
def test_nobody_is_asked_about_a_check_whose_group_passed(run: CutoverRun) -> None:
    """As at a real gate: one of two is enough, whatever the other would ask."""
    either = {"any": [{"metric": "error_rate", "below": "1%", "on_fail": "ask"},
                      {"metric": "error_rate", "below": "50%"}]}
    (evaluation,) = found(run, asked([either])).evaluations
    assert [each.now for each in evaluation.gates[0].checks] == ["fail", "pass"]
    assert (evaluation.gates[0].now, evaluation.now) == ("pass", StageAction.PROMOTE)


@pytest.mark.parametrize(("check", "why"), [
    ({"metric": "latency_p95", "ratio_to_baseline": 1.3}, "were never counted by bucket"),
    ({"metric": "status_rate", "status": "404", "ratio_to_baseline": 2},
     "was never counted by bucket"),
    ({"metric": "error_rate", "segment": "beta", "ratio_to_baseline": 2},
     "was never counted by bucket"),
])
def test_what_was_never_counted_is_listed_and_lets_nothing_pass(
    run: CutoverRun, check: dict[str, Any], why: str
) -> None:
    """A new question about buckets has no answer; it is told, and no decision is made up."""
    segments = {"beta": {"header": "x-cohort", "any_of": ["beta"]}}
    again = found(run, asked([check, {"metric": "error_rate", "below": "50%"}],
                             routing={"listen": "127.0.0.1:8100", "segments": segments}))
    (evaluation,) = again.evaluations
    assert evaluation.gates[0].now == UNKNOWN
    assert evaluation.now is None
    assert any(why in each.why for each in again.unknown), again.unknown


def test_pruned_samples_are_named_with_the_time_since_which_they_are_kept(
    run: CutoverRun
) -> None:
    """A window that is gone is neither a pass nor a failure."""
    short = RetentionSpec(seconds=timedelta(0), minutes=timedelta(minutes=1))
    pruning.prune(run.site.store, run.migration, short, now=clock.now())
    measure_now(run)
    again = found(run, asked([{"metric": "error_rate", "below": "5%"}]))
    assert again.evaluations[0].gates[0].now == UNKNOWN
    assert any("are pruned: they are kept since" in each.why for each in again.unknown)


def test_sums_that_are_gone_are_named(run: CutoverRun) -> None:
    """A counter that the verdict did not need is only in the slices."""
    slices.prune(run.site.store, run.migration, before=2**40)
    again = found(run, asked([{"metric": "redirect_rate", "ratio_to_baseline": 2}]))
    assert any("no longer kept" in each.why for each in again.unknown)


def test_gate_that_the_plan_dropped_and_one_that_is_new_are_both_told(run: CutoverRun) -> None:
    """Old and new stand beside each other under their own names."""
    (evaluation,) = found(
        run, asked({"other": [{"metric": "error_rate", "below": "5%"}]})).evaluations
    told = {each.gate: (each.then, each.now) for each in evaluation.gates[:2]}
    assert told == {"other": (None, "pass"), "slo": ("fail", None)}


def test_stage_that_the_plan_does_not_have_is_told(run: CutoverRun) -> None:
    """Stages are found by name."""
    other = [{"phase": "gradual", "gates": ["slo"], "stages": [{"percent": 25, "soak": "1h"}]}]
    (evaluation,) = found(run, asked(PLANS["evidence"], phases=other)).evaluations
    assert evaluation.now is None
    assert evaluation.gates[0].reason == "the plan has no stage gradual-50"


def test_health_at_the_baseline_passes_and_a_bound_below_it_is_a_false_alarm(
    run: CutoverRun
) -> None:
    """The baseline has 1 % errors: a bound of 0.5 % would have failed without any candidate."""
    short = [{"phase": "gradual", "gates": ["slo"], "stages": [{"percent": 50, "soak": "10m"}]}]
    again = found(run, asked([
        {"metric": "error_rate", "below": "0.5%"}, {"metric": "error_rate", "below": "5%"},
        {"metric": "cpu", "below": 4}], phases=short), since=timedelta(minutes=80))
    told = {each.check: (each.failed == each.soaks, each.passed == each.soaks)
            for each in again.healthy}
    assert told == {"error_rate of candidate below 0.500 %": (True, False),
                    "error_rate of candidate below 5.000 %": (False, True)}
    assert any("cpu" in each.what for each in again.unknown)


def test_promotion_by_another_plan_is_told_of_the_cutover(run: CutoverRun) -> None:
    """One sentence for each cutover: what became of it, what would have."""
    (told,) = found(run, asked([{"metric": "error_rate", "below": "1%"}])).cutovers
    assert told.startswith("cutover 1 runs; with this plan it would be rolled back on ")
    assert told.endswith("by the gate of gradual-50")


def test_command_shows_tables_and_its_code_says_whether_anything_differs(
    run: CutoverRun, tmp_path: Path
) -> None:
    """0: as it was. 1: something would have been decided otherwise. JSON has every number."""
    same, other = tmp_path / "same.json", tmp_path / "other.json"
    same.write_text(run.site.plan.model_dump_json(by_alias=True, exclude_unset=True))
    strict = asked([{"metric": "error_rate", "ratio_to_baseline": 10}])
    other.write_text(strict.model_dump_json(by_alias=True, exclude_unset=True))
    text = printed(run, command, "--plan", str(same))
    assert "Nothing would have been decided otherwise" in text
    assert text.count("same:") == 2, f"one of each check: {text}"
    shown = printed(run, command, "--plan", str(other), "--since", "1d", code=1)
    assert "1 of 1 evaluations of stages" in shown
    document = json.loads(printed(run, command, "--plan", str(other), "--json", code=1))
    assert document["evaluations"][0]["gates"][0]["now"] == "pass"
    assert document["is_other"] is True


def test_plan_of_another_migration_is_refused(run: CutoverRun) -> None:
    """Its samples are others."""
    with pytest.raises(InvalidInput, match="the plan is of migration other") as refused:
        found(run, run.site.plan.model_copy(update={"migration": "other"}))
    assert "--migration other" in str(refused.value)


def test_time_without_samples_is_refused(run: CutoverRun) -> None:
    """Nothing measured is no "nothing would differ"."""
    with pytest.raises(InvalidInput, match="no sample of bench since") as refused:
        found(run, run.site.plan, since=timedelta(milliseconds=1))
    assert "the newest sample is of" in str(refused.value)


def test_evaluations_after_a_recheck_stand_beside_each_other(run: CutoverRun) -> None:
    """Each look at a stage is a row of its own."""
    store = run.site.store
    record = cutovers.stage(store, run.id, STAGE)
    assert record is not None
    cutovers.extend_soak(store, run.id, STAGE, until=NOW, rechecks=record.rechecks + 1)
    judge_stage(run, STAGE, SEEN)
    again = found(run, run.site.plan)
    assert [each.attempt for each in again.evaluations] == [0, 1]
    assert not again.is_other
    assert not replace(again, evaluations=()).is_other
