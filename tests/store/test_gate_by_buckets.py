"""A stage's gate is judged by the sums of its buckets, and its verdict can be reached again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event

from changeover import clock
from changeover.cli.verdict import verdict as verdict_command
from changeover.domain.rollout import StageAction
from changeover.domain.slices import LogPlace
from changeover.domain.verdict import Verdict
from changeover.observer.standings import Standings
from changeover.procedures.gate import judge_stage
from changeover.procedures.guardrail_evidence import Seen
from changeover.procedures.recompute import recompute
from changeover.procedures.steps import CutoverRun
from changeover.site.bucket_sums import packed
from changeover.site.site import Site
from changeover.store import courses, cutovers, slices, verdicts
from reports.tables import check_row, verdict_text
from tests.integration.conftest import make_plan
from tests.support.clocks import live_at
from tests.support.soaking_stage import (
    SEEN,
    STAGE,
    phases,
    printed,
    soaking,
    stored,
    traffic,
    verdict_of,
)

GATES = {"slo": [
    {"metric": "error_rate", "ratio_to_baseline": 2, "min_samples": 100},
    {"metric": "client_error_rate", "ratio_to_baseline": 3},
    {"metric": "error_rate", "ratio_to_baseline": 2, "test": "threshold"},
]}
NOW = clock.now().replace(microsecond=0)
ENTERED = NOW - timedelta(hours=1)


@pytest.fixture(autouse=True)
def lives_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moments above stay the present, however long the other tests take."""
    live_at(monkeypatch, NOW + timedelta(seconds=1))


@pytest.fixture
def run(store_url: str, tmp_path: Path) -> Iterator[CutoverRun]:
    """A cutover whose stage of 50 % began an hour ago."""
    with soaking(store_url, tmp_path, GATES, entered=ENTERED) as found:
        yield found


def measure(run: CutoverRun, *shares: tuple[float, float]) -> None:
    """Store an hour before the stage and one slice of the stage for each pair of shares."""
    before, since = ENTERED - timedelta(hours=1), ENTERED + timedelta(minutes=10)
    found = [traffic(0, before.timestamp(), (0.01, 0.01), 1)]
    found += [traffic(5000, since.timestamp() + 60 * index, each, 2 + index)
              for index, each in enumerate(shares)]
    slices.save(run.site.store, run.migration, [packed(each) for each in found],
                LogPlace(1, 1), gateway="main")


@pytest.mark.parametrize(("shares", "remark"), [
    ((0.05, 0.01), "harm is shown"), ((0.01, 0.01), "harm beyond the margin is excluded (95 %)")])
def test_a_report_says_how_sure_the_stored_verdict_is(
    run: CutoverRun, shares: tuple[float, float], remark: str
) -> None:
    """The words come from what the verdict was stored with."""
    measure(run, shares)
    first, *_, threshold = verdict_of(run).evidence
    assert check_row(first).remark == remark
    assert check_row(threshold).remark == ""


@pytest.mark.parametrize(("shares", "said", "action"), [
    ((0.05, 0.01), Verdict.FAIL, StageAction.ROLLBACK),
    ((0.01, 0.01), Verdict.INCONCLUSIVE, StageAction.WAIT),  # the threshold check has no samples
], ids=["harm", "health"])
def test_gate_is_judged_by_the_sums_of_the_stage(
    run: CutoverRun, shares: tuple[float, float], said: Verdict, action: StageAction
) -> None:
    """Harm that the buckets show rolls the stage back; health is told by each check."""
    measure(run, shares)
    decision = judge_stage(run, STAGE, SEEN)
    found = verdict_of(run)
    assert (found.verdict, decision.action) == (said, action)
    assert [check["verdict"] for check in found.evidence] == [
        "fail" if said is Verdict.FAIL else "pass", "pass", "inconclusive"]


@pytest.mark.parametrize(("on_fail", "action"), [
    ("ask", StageAction.ASK), ("show", StageAction.PROMOTE)])
def test_failure_that_asks_or_is_shown_rolls_nobody_back(
    run: CutoverRun, on_fail: str, action: StageAction
) -> None:
    """People are asked at once, with the reason; what is only shown decides nothing."""
    gates = {"slo": [
        {"metric": "error_rate", "ratio_to_baseline": 2, "on_fail": on_fail},
        {"metric": "client_error_rate", "ratio_to_baseline": 3}]}
    plan = make_plan(gates=gates, phases=phases(gates))
    site = Site(run.site.home, plan, run.site.store)
    told = CutoverRun(site, cutovers.get(site.store, run.id), "one")
    measure(told, (0.05, 0.01))
    decision = judge_stage(told, STAGE, SEEN)
    assert decision.action is action
    assert ("times the baseline's is shown" in decision.reason) == (on_fail == "ask")
    assert decision.reason.count("people are asked, because") == (on_fail == "ask")
    shown = verdict_text(check_row(stored(run).evidence[0]))
    assert shown == ("✗ fail: harm is shown, people decide" if on_fail == "ask"
                     else "✗ fail: shown only, harm is shown")
    found = verdicts.get(run.site.store, stored(run).id)
    assert found is not None
    assert [each.problem for each in recompute(*found)] == ["", ""]


def test_failed_check_rolls_nobody_back_while_another_of_its_group_passes(
    run: CutoverRun
) -> None:
    """Errors went up, and either of two was to stay; the verdict comes out again."""
    gates = {"slo": [{"any": [
        {"metric": "error_rate", "ratio_to_baseline": 2},
        {"metric": "client_error_rate", "ratio_to_baseline": 3}]}]}
    site = Site(run.site.home, make_plan(gates=gates, phases=phases(gates)), run.site.store)
    grouped = CutoverRun(site, cutovers.get(site.store, run.id), "one")
    measure(grouped, (0.05, 0.01))
    assert judge_stage(grouped, STAGE, SEEN).action is StageAction.PROMOTE
    known = verdict_of(grouped)
    assert [each["verdict"] for each in known.evidence] == ["fail", "pass"]
    assert check_row(known.evidence[0]).remark == "harm is shown, one of 2 must pass: pass"
    found = verdicts.get(site.store, known.id)
    assert found is not None
    assert [each.problem for each in recompute(*found)] == ["", ""]


def test_time_in_which_the_stage_settles_is_not_judged(run: CutoverRun) -> None:
    """Cold caches of the first minutes are in no gate."""
    cold = replace(traffic(5000, ENTERED.timestamp() + 30, (0.5, 0.01), 5))
    measure(run, (0.01, 0.01))
    slices.save(run.site.store, run.migration, [packed(cold)], LogPlace(1, 2), gateway="main")
    assert verdict_of(run).evidence[0]["verdict"] == "pass"


def test_users_who_do_not_arrive_have_people_asked(run: CutoverRun) -> None:
    """A fifth of the candidate's users missing: whoever is left is no fair sample."""
    since = (ENTERED + timedelta(minutes=10)).timestamp()
    whole = traffic(5000, since, (0.01, 0.01), 2)
    is_here = (np.arange(10_000) >= 5000) | (np.arange(10_000) % 5 > 0)
    partial = replace(whole, sums={
        name: np.where(is_here, numbers, 0) for name, numbers in whole.sums.items()})
    slices.save(run.site.store, run.migration, [packed(partial)], LogPlace(1, 1), gateway="main")
    decision = judge_stage(run, STAGE, SEEN)
    assert decision.action is StageAction.ASK
    assert "sample-ratio mismatch" in decision.reason


def test_without_any_slice_the_gate_is_inconclusive(run: CutoverRun) -> None:
    """A dead observer lets nothing pass."""
    assert verdict_of(run).verdict is Verdict.INCONCLUSIVE


def test_verdict_is_reached_again_after_its_slices_are_gone(run: CutoverRun) -> None:
    """What recomputes a verdict is stored with it, whatever becomes of the slices."""
    measure(run, (0.05, 0.01), (0.03, 0.01))
    known = verdict_of(run)
    slices.prune(run.site.store, run.migration, before=2**40)
    found = verdicts.get(run.site.store, known.id)
    assert found is not None
    again = recompute(*found)
    assert [each.problem for each in again] == [""] * 3
    assert again[0].again == known.evidence[0]


def test_harm_that_was_shown_while_the_stage_soaked_fails_it_at_the_end(
    run: CutoverRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The observer saw it; an hour of health makes it no pass, and the verdict comes out again."""
    measure(run, (0.05, 0.01))
    observer = Standings(run.site)
    (firing,) = observer.evaluate()
    assert firing.trigger == "gate slo"
    later = NOW + timedelta(hours=1)
    live_at(monkeypatch, later)
    healthy = [traffic(5000, NOW.timestamp() + 60 * n, (0.001, 0.02), 5 + n) for n in range(10)]
    slices.save(run.site.store, run.migration, [packed(each) for each in healthy],
                LogPlace(1, 2), gateway="main")
    observer.evaluate()
    # what people see as a line: harm that was shown, and later was not
    first, second = courses.since(run.site.store, run.migration, NOW - timedelta(minutes=1))
    assert first.checks[0]["worse"] >= first.checks[0]["bar"]
    assert second.checks[0]["worse"] < second.checks[0]["bar"]
    known = verdict_of(run)
    assert known.verdict is Verdict.FAIL
    sequential = known.evidence[0]["sequential"]
    assert sequential["log_worse"] < sequential["log_bar"]
    assert sequential["before"]["log_worse"] == firing.evidence["sequential"]["log_worse"]
    assert "times the baseline's was shown at" in known.reason
    assert check_row(known.evidence[0]).remark.startswith("harm was shown at ")
    found = verdicts.get(run.site.store, known.id)
    assert found is not None
    assert [each.problem for each in recompute(*found)] == [""] * 3
    assert printed(run, verdict_command, str(known.id)).count("(before ") == 1


def test_verdict_that_was_changed_afterwards_is_found_out(run: CutoverRun) -> None:
    """Numbers that do not follow from the sums are named."""
    measure(run, (0.05, 0.01))
    known = verdict_of(run)
    known.evidence[0]["verdict"] = "pass"
    _, sums = verdicts.get(run.site.store, known.id) or (None, None)
    assert recompute(known, sums)[0].problem == "other than stored: verdict"


def test_verdict_without_its_sums_says_so(run: CutoverRun) -> None:
    """A verdict that cannot be recomputed is none that comes out the same."""
    measure(run, (0.05, 0.01))
    assert recompute(verdict_of(run), None)[0].problem == "its sums are not in the store"


def test_commands_show_a_verdict_and_reach_it_again(run: CutoverRun) -> None:
    """Two sentences, one table, and the same numbers once more."""
    measure(run, (0.05, 0.01))
    number = str(verdict_of(run).id)
    assert "slo" in printed(run, verdict_command)
    shown = printed(run, verdict_command, number)
    assert "more than 2 times the baseline's is shown" in shown
    assert "harm " in shown and "health " in shown
    assert "× baseline" in shown
    assert "the same, to the last bit" in printed(run, verdict_command, number, "--recompute")
    document = json.loads(
        printed(run, verdict_command, number, "--recompute", "--output", "json"))
    assert document["is_same"] is True


def test_gates_of_a_stage_read_its_sums_once(store_url: str, tmp_path: Path) -> None:
    """Days of hours are a second's work: three gates cost no more than one."""
    gates = {name: [{"metric": "error_rate", "ratio_to_baseline": 2}] for name in "abc"}
    with soaking(store_url, tmp_path, gates, entered=ENTERED) as run:
        measure(run, (0.01, 0.01))
        statements: list[str] = []
        event.listen(run.site.store.engine, "before_cursor_execute",
                     lambda *context: statements.append(str(context[2])))
        # the guardrail of the split reads the stage's own beginning, too
        judge_stage(run, STAGE, Seen(has_share=False, regressions=None))
        read = [each for each in statements if "FROM bucket_slice" in each]
    assert len(read) == 2, "the stage, and the time before it"
    assert {stored(run, gate).verdict for gate in gates} == {Verdict.PASS}
