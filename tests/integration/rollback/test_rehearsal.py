"""The rehearsal of a rollback, and how a cutover's preconditions count it."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.states import StateType

from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.procedures import Step, StepStatus
from changeover.domain.suites import SuiteVerdict
from changeover.errors import Refused
from changeover.procedures import preconditions, rehearsal
from changeover.procedures.steps import CutoverRun, Procedure
from changeover.procedures.suites import SuiteResult
from changeover.store import cutovers, routing, samples, steps
from tasks.rehearse import ended
from tests.integration.rollback.conftest import Open, Scene

pytestmark = pytest.mark.integration

LEVERS = {"stop": {"of": "candidate", "post": "/lever/stop"}}


def counted(site: Scene) -> Scene:
    """Store that traffic is measured, up to after the rehearsal."""
    at = int(clock.now().timestamp()) + 600
    samples.write(site.place.store, "bench", [Sample(system="candidate", at=at, requests=0)])
    return site


def rehearse(site: Scene, suite: SuiteResult | None = None, run: str = "one") -> Step:
    """Rehearse the rollback."""
    procedure = Procedure(site.place, f"rehearsal-{run}", run)
    return rehearsal.carry_out(procedure, suite, log=lambda _line: None)


def begin(site: Scene, run: str, **changes: Any) -> str:
    """See whether a cutover may begin with the plan, changed; return what was found, or why not."""
    site.place.plan = site.place.plan.model_copy(update=changes)
    cutover = cutovers.begin(site.place.store, "bench", flow_run_id=run, now=clock.now())
    try:
        return preconditions.check(CutoverRun(site.place, cutover), None)
    except Refused as refusal:
        return str(refusal)


def test_rehearsal_that_finds_a_fault_does_not_count(scene: Open) -> None:
    """What would stop a rollback or its verification is found before the night, all at once."""
    site = counted(scene(
        levers={"stop": {"command": ["no-such-program"]}},
        rollback={"restore": ["stop"], "queues": [
            {"of": "candidate", "path": "/health", "value": "$.no.such.number"}]}))
    failed = SuiteResult("post_rollback", SuiteVerdict.FAIL, "1 of 1 checks failed")
    found = rehearse(site, failed)
    assert found.status is StepStatus.FAILED
    for fault in ("no program no-such-program", "suite post_rollback: 1 of 1 checks failed",
                  "queue /health of the candidate cannot be read"):
        assert fault in found.detail
    assert steps.latest_rehearsal(site.place.store, "bench") is None
    state = ended(found)
    assert (state.type, state.name, state.message) == (StateType.FAILED, "Unfit", found.detail)


def test_rehearsal_opens_the_way_to_a_cutover_with_the_same_plan(scene: Open) -> None:
    """Never rehearsed, or with another plan, nobody is moved. Others of its group do not matter."""
    site = counted(scene(
        levers=LEVERS, rollback={"restore": ["stop"]}, group={"name": "checkout", "order": 2},
        cutover={"preconditions": {"disk": "1MB", "rehearsed_within": "1d"}}))
    plan, before = site.place.plan, routing.read(site.place.store, "bench")
    passed = SuiteResult("post_rollback", SuiteVerdict.PASS, "1 of 1 checks passed")
    assert rehearse(site, passed).status is StepStatus.DONE
    assert routing.read(site.place.store, "bench") == before
    assert site.pulled() == []
    changed = {"levers": {**plan.levers, "more": plan.levers["stop"]}}
    assert "rehearsed with another plan" in begin(site, "another", **changed)
    cutovers.finish(site.place.store, 1, "failed", outcome="", now=clock.now())
    assert begin(site, "the same", levers=plan.levers) == "everything holds that the plan wants"
