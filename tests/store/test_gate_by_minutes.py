"""A gate's check is judged by single minutes, as Kayenta does, and its verdict is reached again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from changeover import clock
from changeover.analysis.window import Sample
from changeover.cli.verdict import verdict as verdict_command
from changeover.domain.rollout import StageAction
from changeover.domain.verdict import Verdict
from changeover.observer.standings import Standings
from changeover.plan.conditions import CheckSpec
from changeover.procedures.gate import judge_stage
from changeover.procedures.recompute import recompute
from changeover.procedures.steps import CutoverRun
from changeover.store import samples, standings, verdicts
from tests.support.clocks import live_at
from tests.support.soaking_stage import SEEN, STAGE, printed, soaking, stored, verdict_of

GATES = {"slo": [
    {"metric": "error_rate", "ratio_to_baseline": 1.5, "test": "mann_whitney"}]}
MINUTE = 60
NOW = clock.now().replace(second=0, microsecond=0)
ENTERED = NOW - timedelta(minutes=20, seconds=30)
FIRST = int(ENTERED.timestamp()) + 30
"""Start of the first whole minute of the stage, which begins in the middle of one."""


@pytest.fixture(autouse=True)
def lives_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The moments above stay the present, however long the other tests take."""
    live_at(monkeypatch, NOW + timedelta(seconds=30))


@pytest.fixture
def run(store_url: str, tmp_path: Path) -> Iterator[CutoverRun]:
    """A cutover whose stage of 50 % began twenty minutes and a half ago."""
    with soaking(store_url, tmp_path, GATES, entered=ENTERED) as found:
        yield found


def measure(run: CutoverRun, candidate_errors: int, minutes: int = 12) -> None:
    """Store so many minutes of both systems; of 1000 requests some 10 of the baseline fail."""
    found = []
    for number in range(minutes):
        at = FIRST + MINUTE * number
        for system, errors in (("baseline", 10), ("candidate", candidate_errors)):
            failed = {"status_5xx": errors + number % 3}
            found.append(Sample(system, at, MINUTE, requests=1000, errors=failed))
    samples.write(run.site.store, run.migration, found)


@pytest.mark.parametrize(("errors", "said", "action"), [
    (30, Verdict.FAIL, StageAction.ROLLBACK), (10, Verdict.PASS, StageAction.PROMOTE)])
def test_gate_is_judged_by_single_minutes(
    run: CutoverRun, errors: int, said: Verdict, action: StageAction
) -> None:
    """High rolls the stage back; identical minutes pass."""
    measure(run, errors)
    decision = judge_stage(run, STAGE, SEEN)
    found = stored(run)
    assert (found.verdict, decision.action) == (said, action), decision.reason
    assert "12 minutes of the candidate and 12 of the baseline" in found.evidence[0]["reason"]


def test_few_minutes_decide_nothing(run: CutoverRun) -> None:
    """Four bad minutes of thousands of requests are inconclusive."""
    measure(run, 500, minutes=4)
    assert verdict_of(run).verdict is Verdict.INCONCLUSIVE


def test_no_minute_decides_nothing(run: CutoverRun) -> None:
    """A dead observer lets nothing pass."""
    assert verdict_of(run).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("errors", [10, 30])
def test_verdict_is_reached_again_from_what_is_stored(run: CutoverRun, errors: int) -> None:
    """Its minutes are stored with it, in their order."""
    measure(run, errors)
    known = verdicts.get(run.site.store, verdict_of(run).id)
    assert known is not None
    assert [each.problem for each in recompute(*known)] == [""]
    minutes = known[0].evidence[0]["by_minutes"]["candidate"]
    assert minutes == [(errors + number % 3) / 1000 for number in range(12)]


def test_verdict_whose_minutes_were_changed_is_found_out(run: CutoverRun) -> None:
    """What comes out now is said to be another than what was stored."""
    measure(run, 30)
    known = verdict_of(run)
    (evidence,) = json.loads(json.dumps(known.evidence))
    evidence["by_minutes"]["candidate"] = evidence["by_minutes"]["baseline"]
    (found,) = recompute(replace(known, evidence=[evidence]), None)
    assert "other than stored: verdict" in found.problem


def test_verdict_of_another_method_is_not_recomputed(run: CutoverRun) -> None:
    """A later version may judge otherwise, and says so instead of calling it wrong."""
    measure(run, 30)
    known = verdict_of(run)
    (evidence,) = json.loads(json.dumps(known.evidence))
    evidence["by_minutes"]["method"] = "mann_whitney 0"
    (found,) = recompute(replace(known, evidence=[evidence]), None)
    assert found.again is None
    assert "'mann_whitney 0'" in found.problem


def test_only_whole_minutes_of_the_stage_count(run: CutoverRun) -> None:
    """Seconds before the stage, and those of a minute that is not over, are in no series."""
    seconds = [Sample("candidate", FIRST - 30 + second, requests=1, answers=1)
               for second in range(240)]
    samples.write(run.site.store, run.migration, seconds)
    end = ENTERED + timedelta(seconds=239)
    rate = CheckSpec(metric="request_rate", below=1)
    found = run.site.metrics.minutes("candidate", rate, start=ENTERED, end=end)
    assert found == [1.0, 1.0, 1.0]
    early = ENTERED + timedelta(seconds=20)
    assert run.site.metrics.minutes("candidate", rate, start=ENTERED, end=early) == []


def test_standing_of_a_soaking_stage_has_no_series(run: CutoverRun) -> None:
    """It is written every few seconds; and high minutes never fail before the soak's end."""
    measure(run, 30)
    assert Standings(run.site).evaluate() == []
    (standing,) = standings.of_stage(run.site.store, run.id, STAGE)
    assert standing.verdict is Verdict.FAIL
    assert "by_minutes" not in standing.evidence[0]


def test_command_shows_the_classification_and_reaches_it_again(run: CutoverRun) -> None:
    """Whoever knows Kayenta reads High; the numbers are in the reason."""
    measure(run, 30)
    number = str(verdict_of(run).id)
    assert "by single minutes: High" in printed(run, verdict_command, number)
    assert "the same, to the last bit" in printed(run, verdict_command, number, "--recompute")
