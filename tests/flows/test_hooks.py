"""Hooks of stages for real: before any user moves, after the gate, undone by a rollback, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.procedures import StepStatus, of_cutover, of_rollback
from changeover.domain.rollout import StageStatus
from changeover.domain.routing import Mode
from changeover.procedures import steering
from changeover.site.site import Site
from changeover.store import (
    approvals,
    audit,
    cutovers,
    instructions,
    rollbacks,
    routing,
    steps,
)
from reports import reading
from tests.integration.conftest import make_plan
from tests.support import commands
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

LEVERS = {name: {"of": "baseline", "post": f"/lever/{name}"}
          for name in ("up", "down", "more", "less", "tidy", "untidy")}
SUITES = {"smoke": [{"kind": "http", "of": "candidate", "path": "/health"}]}
FIRST = {
    "before": [{"lever": "up", "undo": "down"}, {"suite": "smoke", "retries": 0}],
    "after": [{"lever": "tidy", "undo": "untidy"}],
}
SECOND = {"before": [{"lever": "more", "undo": "less"}], "after": [{"suite": "smoke"}]}

ONLY = "only hook\n"
"""All other points of a procedure have their own test, which takes long enough."""

Begin = Callable[..., SopSite]


def phases(first: object = FIRST, second: object = SECOND) -> list[dict[str, Any]]:
    return [
        {"phase": "gradual", "stages": [
            {"percent": 10, "soak": "0s", "hooks": first},
            {"percent": 50, "soak": "0s", "hooks": second, "approval": {"approvers": 1}}]},
        {"phase": "full", "soak": "0s"},
    ]


@pytest.fixture
def begin(server: PrefectServer, tmp_path: Path) -> Iterator[Begin]:
    """Return a function that starts a site for a plan."""
    with ExitStack() as stack:
        def start(folder: str = "site", *, is_measured: bool = True, **plan: Any) -> SopSite:
            plan = {"levers": LEVERS, "suites": SUITES, "phases": phases(), **plan}
            site = stack.enter_context(sop_site(
                server, make_plan(health_timeout="60s", **plan), tmp_path / folder,
                is_measured=is_measured))
            site.home.save_settings({"migration": "bench", "api_url": server.url})
            return site
        yield start


def levers(site: SopSite) -> list[str]:
    """Return the levers that acted, in order."""
    return site.bench.ran("baseline")["levers"]


def until_asked(site: SopSite, run: str) -> None:
    while site.attempt("cutover", run).state_type != "PAUSED":
        continue


def hook_steps(site: SopSite, cutover: int = 1) -> dict[str, StepStatus]:
    known = steps.all_of(site.store, "bench", of_cutover(cutover))
    return {each.name: each.status for each in known if "hook" in each.name}


def rolled_back(site: SopSite, run: str, *, kills: bool = False) -> None:
    """Roll back by hand and carry out the rest, as the observer has it done."""
    commands.changeover(site.home.root, "rollback", "--reason", "wrong totals")
    site.api.schedule(run, at=clock.now(), name="Waking", message="as the observer does")
    assert site.attempt("cutover", run).state_name == "RolledBack"
    record = rollbacks.latest(site.store, "bench")
    assert record is not None
    run_id = site.start("rollback", reason=record.reason, rollback_id=record.id)
    (site.home.root / f"fired-{run_id}").write_text(ONLY)
    found = site.carry_on("rollback", run_id, kills=kills)
    assert found.state_name == "RolledBack", found


def through(site: SopSite, *, kills: bool) -> tuple[Any, ...]:
    """Come to the question of 50 %, then roll back; return what both left behind."""
    run = site.start("cutover")
    fired = site.home.root / "fired"
    fired.write_text(ONLY)
    found = site.attempt("cutover", run, fired if kills else None)
    while found.state_type != "PAUSED":
        if found.state_type != "SCHEDULED":
            site.api.schedule(run, at=clock.now(), name="Recovering", message="after a kill")
        found = site.attempt("cutover", run, fired if kills else None)
    assert routing.read(site.store, "bench").weight == 5_000
    forth = levers(site)
    told = commands.changeover(site.home.root, "status")
    assert "hook before gradual-10 hook 1: lever up done" in told
    script = (site.home.root / "rollback" / "cutover-1" / "rollback.sh").read_text()
    rolled_back(site, run, kills=kills)
    site.killed += fired.read_text().splitlines()
    assert "lever up undone" in commands.changeover(site.home.root, "status")
    assert audit.verify(site.store, "bench") == []
    pulled = [event.data["lever"] for event in audit.events(site.store, "bench")
              if event.kind == "lever.pulled"]
    in_script = [line.split()[1] for line in script.splitlines() if line.startswith("    lever ")]
    return forth, levers(site), hook_steps(site), pulled, in_script


def test_hooks_killed_at_every_point_run_once_and_are_undone_once_newest_first(
    begin: Begin
) -> None:
    """Before each, in the middle, after it and before it is noted; forth and back."""
    calm = through(begin("calm"), kills=False)
    forth, both, noted, _, in_script = calm
    assert forth == ["up", "tidy", "more"]
    assert both == ["up", "tidy", "more", "less", "untidy", "down"]
    assert in_script == ["less", "untidy", "down"]
    assert set(noted.values()) == {StepStatus.DONE}
    assert set(noted) == {
        "before gradual-10 hook 1", "before gradual-10 hook 2", "after gradual-10 hook 1",
        "before gradual-50 hook 1", "undo before gradual-50 hook 1",
        "undo after gradual-10 hook 1", "undo before gradual-10 hook 1"}
    site = begin("killed")
    assert through(site, kills=True) == calm
    for hook in ("before gradual-10 hook 1", "before gradual-50 hook 1"):
        assert {f"before pull hook {hook}", f"after pull hook {hook}",
                f"before save {hook} begun", f"before save {hook} done",
                f"before save undo {hook} done",
                f"after _pulled lever bench cutover-1 {hook} {'up' if '10' in hook else 'more'}",
                } <= set(site.killed), hook
    assert {"before 3 undo hooks", "after 3 undo hooks", "before save undo hooks done",
            "after begin hook before gradual-10 hook 2",
            "before end hook before gradual-10 hook 2"} <= set(site.killed)


def test_a_failing_hook_before_a_stage_moves_nobody_and_asks(begin: Begin) -> None:
    """Hold tries it again, promote goes on all the same, rollback undoes what ran before it."""
    site = begin(is_measured=False)  # else a guardrail rolls back what people go on with
    site.bench.fault("503")
    weights = []

    def noted(decision: str) -> Callable[[], str]:
        def decide() -> str:
            weights.append(routing.read(site.store, "bench").weight)
            return decision
        return decide

    run = site.carry_out("cutover", decisions=[noted("hold"), noted("promote"), noted("promote"),
                                               noted("rollback")])
    asked = approvals.all_of(site.store, 1)
    assert [(each.stage, each.round) for each in asked] == [
        ("before-gradual-10-2", 1), ("before-gradual-10-2", 2), ("gradual-50", 1),
        ("after-gradual-50-1", 1)]
    assert "suite smoke before gradual-10 failed" in asked[0].question
    assert "Nobody was moved into gradual 10 %" in asked[0].question
    assert weights == [0, 0, 5_000, 5_000]
    assert run.state_name == "RolledBack"
    assert routing.read(site.store, "bench").mode is Mode.EMERGENCY_ROLLBACK
    stages = {each.key: each.status for each in cutovers.stages(site.store, 1)}
    assert stages == {"gradual-10": StageStatus.PROMOTED, "gradual-50": StageStatus.ROLLED_BACK}
    accepted = steps.one(site.store, "bench", "cutover-1", "before gradual-10 hook 2")
    assert accepted is not None
    assert accepted.status is StepStatus.DONE
    assert "gone on all the same: alice decided promote" in accepted.detail
    found = reading.procedure_of(site.store, cutovers.get(site.store, 1))
    assert "after gradual-50 hook 1" in {each.name for each in found.steps}
    assert [each.name for each in found.steps].count("suite smoke") == 4


def test_a_stage_that_loses_users_while_its_last_hook_asks_soaks_again(begin: Begin) -> None:
    """People go on without the hook: the stage has its share again before the next one begins."""
    site = begin(is_measured=False, phases=phases(first={}, second={
        "after": [{"suite": "smoke", "retries": 0}]}))
    site.bench.fault("503")
    seen = []

    def reduce_first() -> str:
        site.carry_out("rollback", reason="slow", scope="stage")
        return look()

    def look() -> str:
        seen.append(routing.read(site.store, "bench").weight)
        return "promote"

    run = site.carry_out("cutover", decisions=["promote", reduce_first, look])
    assert run.state_name == "Promoted", run
    assert seen == [1_000, 5_000]
    asked = [(each.stage, each.round) for each in approvals.all_of(site.store, 1)]
    assert asked == [("gradual-50", 1), ("after-gradual-50-1", 1), ("gradual-50", 2)]


def test_an_undo_that_fails_is_said_and_stops_nothing(begin: Begin) -> None:
    """The traffic is back first, the other hooks are undone, a person is called."""
    site = begin(levers={**LEVERS, "less": {"command": ["false"]}},
                 rollback={"restore": ["tidy"]})
    run = site.start("cutover")
    until_asked(site, run)
    commands.changeover(site.home.root, "rollback", "--reason", "wrong totals")
    assert levers(site) == ["up", "tidy", "more"]
    record = rollbacks.latest(site.store, "bench")
    assert record is not None
    found = site.carry_out("rollback", reason=record.reason, rollback_id=record.id)
    assert found.state_name == "NeedsPerson"
    assert levers(site) == ["up", "tidy", "more", "untidy", "down", "tidy"]
    done = {each.name: each for each in steps.all_of(site.store, "bench", of_rollback(record.id))}
    assert done["undo hooks"].status is StepStatus.FAILED
    assert done["undo hooks"].number == 3
    assert "not undone: before gradual-50 hook 1: lever less failed" in done["undo hooks"].detail
    assert done["restore"].status is StepStatus.DONE


def test_hooks_of_a_skipped_stage_do_not_run_and_those_of_a_passed_over_one_do(
    begin: Begin
) -> None:
    """Skipped by people: not prepared. Begun with a later stage: prepared as if it came there."""
    site = begin(phases=phases(second={"before": [{"lever": "more", "undo": "less"}]}))
    run = site.start("cutover")
    until_asked(site, run)
    rolled_back(site, run)
    commands.changeover(site.home.root, "recover", "--reason", "mended")
    before = len(levers(site))
    run = site.start("cutover", from_stage="gradual-50")
    until_asked(site, run)
    site.answer(run, "promote", "ann")
    until_asked(site, run)
    assert levers(site)[before:] == ["up", "more"]
    assert set(hook_steps(site, 2)) == {
        "before gradual-10 hook 1", "before gradual-10 hook 2", "before gradual-50 hook 1"}
    rolled_back(site, run)
    commands.changeover(site.home.root, "recover", "--reason", "mended")
    before = len(levers(site))
    site.bench.fault("503")  # the first stage's suite fails: the second one can still be skipped
    run = site.start("cutover")
    until_asked(site, run)
    said = commands.changeover(site.home.root, "skip-stage", "gradual-50", "--approver", "ann",
                               "--reason", "proved in the pilot")
    assert "its hooks do not run" in said

    def mended() -> str:
        site.bench.fault("none")
        return "hold"

    assert site.carry_on("cutover", run, decisions=[mended]).state_name == "Promoted"
    assert levers(site)[before:] == ["up", "tidy"]


def test_a_stage_that_is_left_out_while_its_hook_asks_asks_nobody_any_more(begin: Begin) -> None:
    """The question is withdrawn, also when the command was killed before it woke the run."""
    site = begin(is_measured=False, phases=phases(first={}, second={
        "before": [{"suite": "smoke", "retries": 0}, {"lever": "more", "undo": "less"}]}))
    site.bench.fault("503")
    run = site.start("cutover")
    until_asked(site, run)
    assert [each.stage for each in approvals.all_of(site.store, 1)] == ["before-gradual-50-1"]
    now, opened = clock.now(), Site.open(site.home.root)
    assert steering.oversleeping(opened, now) is None
    instructions.skip(site.store, Instruction(
        1, InstructionKind.SKIP, "ann", "proved in the pilot", now, "gradual-50"))
    found = steering.oversleeping(opened, now)  # what the observer wakes
    assert found is not None and found.id == run
    commands.changeover(site.home.root, "skip-stage", "gradual-50", "--approver", "ann",
                        "--reason", "proved in the pilot")
    assert site._run(run).state_name == "Continuing"
    assert site.carry_on("cutover", run).state_name == "Promoted"
    asked = approvals.all_of(site.store, 1)[0]
    assert (asked.is_void, asked.decision) == (True, None)
    assert levers(site) == []
    kinds = [event.kind for event in audit.events(site.store, "bench")]
    assert (kinds.count("approval.withdrawn"), kinds.count("stage.skipped")) == (1, 1)
    assert audit.verify(site.store, "bench") == []
