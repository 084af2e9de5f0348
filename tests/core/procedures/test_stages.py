"""A stage is judged once per evaluation, and what follows is done once, whoever is killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Stands, TriggerFiring, TriggerStanding
from changeover.domain.rollout import CutoverStatus, StageAction, StageRecord, StageStatus
from changeover.domain.routing import Change, Mode
from changeover.errors import StaleEpoch
from changeover.plan.triggers import TriggerAction
from changeover.procedures import stages
from changeover.procedures.gate import judge_stage
from changeover.procedures.guardrail_evidence import Seen
from changeover.procedures.steps import CutoverRun
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import (
    cutovers,
    firings,
    plans,
    routing,
    samples,
    trigger_standings,
    verdicts,
)
from tests.core.procedures.conftest import begun
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store

SEEN = Seen(has_share=True, regressions=None)
SECOND = timedelta(seconds=1)
FIRST = "gradual-10"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[CutoverRun]:
    """A cutover whose first stage of three began a minute ago."""
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    plan = make_plan(
        gates={"slo": [{"metric": "error_rate", "below": "1%", "over": "30s", "min_samples": 5}]},
        patience={"recheck": "10s", "rechecks": 2},
        triggers=[{"name": "slow", "metric": "latency_p95", "above": "1s", "for": "1m",
                   "action": "hold"}],
        phases=[{"phase": "gradual", "gates": ["slo"], "stages": [
            {"percent": share, "soak": "1m"} for share in (10, 50)]},
            {"phase": "full", "soak": "1m"}])
    plans.register(store, plan, source="test", now=clock.now())
    found = begun(Site(Home(tmp_path), plan, store))
    cutovers.enter_stage(store, found.id, plan.stage(FIRST), now=clock.now() - 60 * SECOND)
    yield found
    store.close()


def measure(run: CutoverRun, *, errors: int = 0) -> None:
    """Store ten requests of the candidate that just were answered, some of them badly."""
    at = int(clock.now().timestamp()) - 10
    samples.write(run.site.store, run.migration, [Sample(
        system="candidate", at=at, requests=10, errors={"status_5xx": errors} if errors else {})])


def roll_back(run: CutoverRun) -> None:
    routing.change(run.site.store, run.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
                   Author("ann", "it burns"), now=clock.now())


def record(run: CutoverRun, key: str = FIRST) -> StageRecord:
    found = cutovers.stage(run.site.store, run.id, key)
    assert found is not None
    return found


def pass_all(run: CutoverRun, *keys: str) -> None:
    """Enter and promote stages."""
    for key in keys:
        cutovers.enter_stage(run.site.store, run.id, run.site.plan.stage(key), now=clock.now())
        stages.promote(run, key, "all is well")


@pytest.mark.parametrize(("errors", "action", "reason"), [
    (0, StageAction.PROMOTE, "its one check passed"),
    (5, StageAction.ROLLBACK, "error_rate of candidate 50.000 % is at or above 1.000 %"),
])
def test_stage_follows_its_gate(
    run: CutoverRun, errors: int, action: StageAction, reason: str
) -> None:
    """Promoted or rolled back, with the gate's own sentence as the reason."""
    measure(run, errors=errors)
    decision = judge_stage(run, FIRST, SEEN)
    assert (decision.stage, decision.action) == (FIRST, action)
    assert reason in decision.reason


def test_stage_without_data_is_evaluated_again_and_then_asked_about(run: CutoverRun) -> None:
    """As often as the plan's patience says; nobody is promoted for want of data."""
    actions = []
    for _ in range(3):
        actions.append(judge_stage(run, FIRST, SEEN).action)
        stages.recheck_later(run, FIRST)
    assert actions == [StageAction.WAIT, StageAction.WAIT, StageAction.ASK]


def test_evaluation_that_was_made_before_a_kill_counts(run: CutoverRun) -> None:
    """The run that comes back finds the verdict, whatever was measured since."""
    measure(run)
    first = judge_stage(run, FIRST, SEEN)
    before = verdicts.all_of(run.site.store, run.id)
    measure(run, errors=9)
    assert judge_stage(run, FIRST, SEEN) == first
    assert verdicts.all_of(run.site.store, run.id) == before


def test_trigger_that_says_hold_has_people_asked(run: CutoverRun) -> None:
    """The gate passed; the reason names the trigger."""
    measure(run)
    now = clock.now()
    firings.record(run.site.store, TriggerFiring(
        run.migration, "slow", TriggerAction.HOLD, "p95 is high", {}, now, now, epoch=0))
    decision = judge_stage(run, FIRST, SEEN)
    assert decision.action is StageAction.ASK
    assert "trigger slow says hold: p95 is high" in decision.reason


def test_hold_that_people_answered_counts_no_more_once_it_is_over(run: CutoverRun) -> None:
    """They held the stage: its next soak is judged by what fires in it, or fires still."""
    store, now = run.site.store, clock.now()
    firings.record(store, TriggerFiring(
        run.migration, "slow", TriggerAction.HOLD, "p95 is high", {}, now, now, epoch=0))
    measure(run)
    assert judge_stage(run, FIRST, SEEN).action is StageAction.ASK
    stages.hold(run, FIRST, 1)
    stand(run, Stands.FIRING)
    decision = judge_stage(run, FIRST, SEEN)
    assert decision.action is StageAction.ASK
    assert "trigger slow says hold: p95 is 2 s (still so, since " in decision.reason
    stages.hold(run, FIRST, 2)
    stand(run, Stands.CLEARED)
    assert judge_stage(run, FIRST, SEEN).action is StageAction.PROMOTE


def stand(run: CutoverRun, stands: Stands) -> None:
    """Save how the trigger `slow` stands."""
    now = clock.now()
    trigger_standings.save(run.site.store, run.migration, [TriggerStanding(
        run.migration, "slow", now, stands, now, 2.0, "p95 is 2 s", {}, {})])


def test_stage_that_lost_users_has_people_asked(run: CutoverRun) -> None:
    """What was measured is not the stage's share."""
    measure(run)
    decision = judge_stage(run, FIRST, replace(SEEN, has_share=False))
    assert decision.action is StageAction.ASK
    assert "fewer users are moved than the stage says" in decision.reason


def test_nothing_is_judged_or_promoted_after_a_rollback(run: CutoverRun) -> None:
    """What was decided before it no longer counts."""
    measure(run)
    roll_back(run)
    with pytest.raises(StaleEpoch, match="a rollback came first"):
        judge_stage(run, FIRST, SEEN)
    with pytest.raises(StaleEpoch, match="a rollback came first"):
        stages.promote(run, FIRST, "all is well")
    assert record(run).status is StageStatus.SOAKING


def test_held_stage_soaks_once_more_however_often_the_hold_is_done(run: CutoverRun) -> None:
    """A run that was killed after it began the round does not begin another."""
    for _ in range(2):
        stages.hold(run, FIRST, 1)
    held = record(run)
    assert (held.round, held.rechecks) == (2, 0)
    assert held.soak_until > clock.now() + 30 * SECOND


def test_phases_are_settled_as_a_whole(run: CutoverRun) -> None:
    """Either all calls of a phase's flow are made again or none."""
    stages.promote(run, FIRST, "all is well")
    assert stages.promoted(run, FIRST) is not None
    assert stages.settled(run, FIRST) is None
    pass_all(run, "gradual-50")
    settled = stages.settled(run, FIRST)
    assert settled is not None
    assert (settled.action, settled.reason) == (StageAction.PROMOTE, "all is well")
    assert stages.settled(run, "full") is None


def test_rollback_closes_the_stage_that_was_open_and_no_other(run: CutoverRun) -> None:
    """A stage that was promoted stays so; one that was never entered never will be."""
    stages.promote(run, FIRST, "all is well")
    cutovers.enter_stage(
        run.site.store, run.id, run.site.plan.stage("gradual-50"), now=clock.now())
    assert not stages.is_superseded(run, "full")
    roll_back(run)
    # by whoever is first: the cutover's own run, or the one that carries the rollback out
    cutovers.finish(run.site.store, run.id, CutoverStatus.ROLLED_BACK,
                    outcome="it burns", now=clock.now())
    assert record(run).status is StageStatus.PROMOTED
    closed = record(run, "gradual-50")
    assert (closed.status, closed.reason) == (StageStatus.ROLLED_BACK, "it burns")
    assert stages.is_superseded(run, "full")
    assert not stages.is_superseded(run, "gradual-50")
