"""The step log: a step is done once, by the run that carries the procedure."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from changeover import clock
from changeover.analysis.gate import StageDecision
from changeover.domain.audit import Author
from changeover.domain.procedures import StepStatus
from changeover.domain.rollbacks import Rollback, RollbackSeverity
from changeover.domain.rollout import CutoverStatus, StageAction
from changeover.domain.routing import Change, Mode
from changeover.domain.suites import SuiteVerdict
from changeover.errors import (
    CarriedElsewhere,
    ChangeoverError,
    PublishFailed,
    StaleEpoch,
    StoreError,
)
from changeover.procedures import ending
from changeover.procedures.steps import Found, Procedure, RollbackRun
from changeover.procedures.suites import SuiteResult, problems_of
from changeover.site.site import Site
from changeover.store import audit, carriers, cutovers, messages, rollbacks, routing, steps
from tests.core.procedures.conftest import begun


class Counted:
    """An action that counts how often it is done, and ends as it is told."""

    def __init__(self, *endings: Exception | None) -> None:
        self.endings, self.times = list(endings), 0

    def __call__(self) -> Found:
        self.times += 1
        ending = self.endings.pop(0) if self.endings else None
        if ending is not None:
            raise ending
        return "well", {"number": self.times}


def rolled_back(site: Site, flow_run_id: str) -> RollbackRun:
    found = rollbacks.begin(site.store, Rollback(
        site.migration, epoch=1, reason="it burns", scope="all", actor="ann",
        severity=RollbackSeverity.HIGH, started_at=clock.now()))
    return RollbackRun(site, found.id, flow_run_id)


def test_step_that_is_done_is_found_by_the_next_run(site: Site) -> None:
    """Whoever was killed in between: the result is the first one's."""
    action = Counted()
    first = Procedure(site, "cutover-7", "one").once("backup", action)
    assert Procedure(site, "cutover-7", "two").once("backup", action) == first
    assert (action.times, first.status, first.data) == (1, StepStatus.DONE, {"number": 1})


def test_step_that_failed_is_done_again(site: Site) -> None:
    """The cause may be mended; until then the log says why."""
    run, action = Procedure(site, "cutover-7"), Counted(ChangeoverError("no room"))
    failed = run.once("backup", action)
    assert (failed.status, failed.detail) == (StepStatus.FAILED, "no room")
    assert run.once("backup", action).status is StepStatus.DONE
    kinds = [event.kind for event in audit.events(site.store, site.migration)]
    assert kinds[-2:] == ["step.failed", "step.done"]


@pytest.mark.parametrize("error", [
    StoreError("locked"), PublishFailed("away"), StaleEpoch("a rollback"),
    CarriedElsewhere("another"),
], ids=lambda error: type(error).__name__)
def test_trouble_that_says_nothing_about_the_step_is_not_kept(
    site: Site, error: ChangeoverError
) -> None:
    """It passes, or the procedure is over: neither is the step's failure."""
    run = Procedure(site, "cutover-7")
    with pytest.raises(type(error)):
        run.once("backup", Counted(error))
    assert run.known("backup") is None


def test_fault_in_a_step_ends_a_cutover_but_not_a_rollback(site: Site) -> None:
    """The way back goes on and tells a person; on the way forward nobody guesses."""
    with pytest.raises(KeyError):
        begun(site).once("backup", Counted(KeyError("pid")))
    found = rolled_back(site, "one").once("clean up", Counted(KeyError("pid")))
    assert (found.status, found.detail) == (StepStatus.FAILED, "it broke: KeyError: 'pid'")


def test_steps_of_a_rollback_are_in_the_order_of_the_procedure(site: Site) -> None:
    """Restored again after the verification, it is the third step all the same."""
    run, restored = rolled_back(site, "one"), Counted(ChangeoverError("no"))
    for name in ("restore", "verify", "clean up"):
        run.once(name, restored if name == "restore" else Counted())
    run.once("restore", restored)
    assert [(step.number, step.name) for step in
            steps.all_of(site.store, site.migration, run.subject)] == [
        (2, "clean up"), (3, "restore"), (5, "verify")]


def test_lease_keeps_a_second_run_from_the_steps_of_a_rollback(site: Site) -> None:
    """Two would pull the levers twice; a step that is done needs no lease to be found."""
    run = rolled_back(site, "one")
    run.renew_lease(busy_for=timedelta(hours=1))
    done, action = run.once("clean up", Counted()), Counted()
    other = RollbackRun(site, run.id, "two")
    with pytest.raises(CarriedElsewhere, match="flow run one carries rollback"):
        other.once("restore", action)
    assert action.times == 0
    assert other.once("clean up", action) == done


def test_run_that_lost_its_cutover_does_nothing_more(site: Site) -> None:
    """Another run continued it: the former one's process may still live."""
    run = begun(site)
    assert run.current_state().mode is Mode.BASELINE_ONLY
    (carrier,) = carriers.of(site.store, site.migration)
    cutovers.adopt(site.store, run.id, carrier, flow_run_id="two", now=clock.now())
    with pytest.raises(CarriedElsewhere, match="flow run two carries cutover"):
        run.current_state()
    # what it was about to say of the preparation is not true of the run that goes on
    with pytest.raises(CarriedElsewhere, match="flow run two carries cutover"):
        ending.close(run, CutoverStatus.FAILED, "not begun")
    assert run.record.status is CutoverStatus.RUNNING
    told = messages.newest(site.store, site.migration)
    assert not [each for each in told if "was not begun" in each.title]


def test_cutover_that_a_rollback_overtook_may_change_nothing(site: Site) -> None:
    """What was decided before the rollback no longer counts."""
    run = begun(site)
    routing.change(
        site.store, site.migration, Change(mode=Mode.EMERGENCY_ROLLBACK),
        Author("ann", "it burns"), now=clock.now())
    with pytest.raises(StaleEpoch, match="a rollback came first"):
        run.current_state()


def test_decision_that_prefect_keeps_of_a_stage_comes_back_as_it_was() -> None:
    """A killed cutover finds the results of its phases again, typed."""
    decision = StageDecision("beta-5", StageAction.SUPERSEDED, "a rollback came first")
    found = pickle.loads(pickle.dumps(decision))  # noqa: S301  our own bytes
    assert found == decision
    assert found.action is StageAction.SUPERSEDED


def test_suite_of_no_plan_is_no_problem() -> None:
    """None means that the plan names no suite."""
    assert problems_of(None) == []
    assert problems_of(SuiteResult("pre", SuiteVerdict.FAIL, "1 failed")) == [
        "suite pre: 1 failed"]
