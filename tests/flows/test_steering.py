"""People steer a running cutover: pause, go on, promote now, soak longer, leave a stage out."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.rollout import StageStatus
from changeover.store import audit, cutovers, heartbeats, instructions, plans, verdicts
from tests.integration.conftest import make_plan
from tests.support import commands
from tests.support.processes import running, wait_for
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

STAGES = [
    {"phase": "gradual", "stages": [
        {"percent": 10, "soak": "1h", "gates": ["slo"]}, {"percent": 25, "soak": "1h"},
        {"percent": 50, "soak": "1h", "approval": {"approvers": 2}}]},
    {"phase": "full", "soak": "0s"},
]


MANY = 100
AFTER_INSTRUCTIONS = {
    f"{edge} {step}" for edge in ("before", "after") for step in (
        "judge gate gradual-10", "promote stage gradual-10", "move traffic gradual-50")
} | {"after leave_out gradual-25"}


@pytest.fixture
def site(server: PrefectServer, tmp_path: Path) -> Iterator[SopSite]:
    """A site whose stages soak for hours."""
    # nobody measures here, and the gate decides nothing: people end its stages' soaks
    plan = make_plan(
        health_timeout="60s", phases=STAGES, patience={"rechecks": 0},
        gates={"slo": [{"metric": "error_rate", "below": "1%", "on_fail": "show"}]})
    with sop_site(server, plan, tmp_path, is_measured=False) as found:
        found.home.save_settings({"migration": "bench", "api_url": server.url})
        yield found


def changeover(site: SopSite, *arguments: str, code: int = 0) -> str:
    return commands.changeover(site.home.root, *arguments, code=code)


def status(site: SopSite) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(changeover(site, "status", "--output", "json"))
    return found


def statuses(site: SopSite) -> dict[str, StageStatus]:
    return {each.key: each.status for each in cutovers.stages(site.store, 1)}


def test_a_cutover_is_paused_goes_on_and_is_promoted_as_people_say(site: SopSite) -> None:
    """Each command wakes the sleeping run, which does what the store says, once, though killed.

    Before and after each step that follows from an instruction, the run's process is killed.
    """
    run = site.start("cutover")
    assert site.attempt("cutover", run).state_name == "Soaking"
    changeover(site, "pause", "--reason", "the provider has trouble")
    changeover(site, "promote-now", "--approver", "ann", "--reason", "it was proved")
    paused = site.until_it_waits("cutover", run, kills=MANY)
    assert paused.state_name == "Paused"
    assert "the provider has trouble" in paused.said
    assert status(site)["pause"]["reason"] == "the provider has trouble"
    assert "PAUSED by" in changeover(site, "status")
    assert statuses(site) == {"gradual-10": StageStatus.SOAKING}
    assert "gradual-25 will be skipped" in changeover(
        site, "skip-stage", "gradual-25", "--approver", "ann", "--reason", "proved in the pilot")
    changeover(site, "resume", "--reason", "it is well again")
    assert site.until_it_waits("cutover", run, kills=MANY).state_name == "Soaking"
    assert set(site.killed) >= AFTER_INSTRUCTIONS
    assert statuses(site) == {
        "gradual-10": StageStatus.PROMOTED, "gradual-25": StageStatus.SKIPPED,
        "gradual-50": StageStatus.SOAKING}
    before = cutovers.stage(site.store, 1, "gradual-50")
    changeover(site, "extend", "2d", "--reason", "over the weekend")
    after = cutovers.stage(site.store, 1, "gradual-50")
    assert before and after
    assert after.soak_until - before.soak_until == timedelta(days=2)
    assert "1 of 2 people agreed" in changeover(
        site, "promote-now", "--approver", "ann", "--reason", "it is time")
    assert site.attempt("cutover", run).state_name == "Soaking"
    changeover(site, "promote-now", "--approver", "bob", "--reason", "it is time")
    # a stage that people left out spoils no success: nobody is asked once more
    assert site.until_it_waits("cutover", run, kills=6).state_name == "Promoted"
    assert audit.verify(site.store, "bench") == []
    events = audit.events(site.store, "bench")
    moved = [event.data["to"] for event in events if event.kind == "routing.changed"]
    assert not any("25 %" in to for to in moved)
    assert len(moved) == len(set(moved)) == 3  # 10 %, 50 %, everyone
    decided = [(event.kind, event.data["stage"]) for event in events
               if event.kind.startswith("stage.")]
    assert len(decided) == len(set(decided))
    said = [event.kind for event in events if event.kind.startswith("cutover.")]
    assert (said.count("cutover.promote-now"), said.count("cutover.skip-stage")) == (3, 1)


def check_report(site: SopSite, told: dict[str, str]) -> None:
    """The report says of each verdict which plan it was reached with, and when that came."""
    (html,) = site.home.reports.glob("*.html")
    for digest in set(told.values()):
        verdict = rf"gate <strong>slo</strong>[^\n]*plan <code>{digest}</code>"
        assert len(re.findall(verdict, html.read_text())) == 1, digest
        verdict = rf"gate slo, round[^\n]*, plan `{digest}`: "
        assert len(re.findall(verdict, html.with_suffix(".md").read_text())) == 1, digest


def test_what_cannot_be_done_now_is_refused_with_what_can(site: SopSite) -> None:
    """Without a cutover, for a stage that is over, for the last stage, for no stage at all."""
    assert "no cutover of bench runs" in changeover(
        site, "pause", "--reason", "trouble", code=4)
    run = site.start("cutover")
    site.attempt("cutover", run)
    skip = ("--approver", "ann", "--reason", "proved")
    assert "was entered already" in changeover(site, "skip-stage", "gradual-10", *skip, code=4)
    assert "is the last one" in changeover(site, "skip-stage", "full", *skip, code=4)
    assert "Allowed: gradual-25, gradual-50" in changeover(site, "skip-stage", "x", *skip, code=2)
    assert "is not paused" in changeover(site, "resume", "--reason", "well", code=4)
    assert "30s, 5m, 48h, 7d" in changeover(site, "extend", "long", "--reason", "x", code=2)
    changeover(site, "pause", "--reason", "trouble")
    changeover(site, "rollback", "--reason", "wrong totals")
    assert "a rollback came first" in changeover(site, "resume", "--reason", "well", code=4)
    assert site.carry_on("cutover", run).state_name == "RolledBack"


def test_an_instruction_whose_command_was_killed_before_it_woke_the_run_takes_effect(
    site: SopSite
) -> None:
    """The observer wakes the run: the store has the instruction, Prefect knows nothing of it."""
    run = site.start("cutover")
    site.attempt("cutover", run)
    stage = site.plan.stage("gradual-10")
    instructions.promote_now(site.store, Instruction(
        1, InstructionKind.PROMOTE_NOW, "ann", "it is time", clock.now(), stage.key, 1), stage)
    command = [sys.executable, "-m", "changeover.observer", "--home", str(site.home.root),
               "--migration", "bench", "--api-url", site.server.url]
    with running(command, site.home.logs / "observer.log"):
        wait_for(lambda: site._run(run).state_name == "Continuing", what="the run is woken")
    assert site.attempt("cutover", run).state_name == "Soaking"
    assert statuses(site)["gradual-10"] is StageStatus.PROMOTED


def test_a_cutover_goes_on_with_an_amended_plan_that_its_approvers_confirm(
    site: SopSite, tmp_path: Path
) -> None:
    """A bound, a later stage's soak and a comparison rule; the verdicts name their plans."""
    file = tmp_path / "plan.yaml"
    site.home.save_settings({**site.home.settings(), "plan": str(file)})
    document = site.plan.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    run = site.start("cutover")
    site.attempt("cutover", run)
    changeover(site, "promote-now", "--approver", "ann", "--reason", "it was proved")
    assert site.attempt("cutover", run).state_name == "Soaking"
    changeover(site, "promote-now", "--approver", "ann", "--reason", "it was proved, too")
    assert site.attempt("cutover", run).state_name == "Soaking"
    stages = document["phases"][0]["stages"]
    stages.insert(3, {"percent": "75%", "soak": "0s", "gates": ["slo"]})
    document["gates"]["slo"][0]["below"] = "5%"
    document["comparison"] = {"ignore": ["$.took_ms"]}
    file.write_text(json.dumps(document))
    amend = ("plan", "amend", str(file), "--reason", "as agreed", "--yes")
    assert "1 of 2 people agreed" in changeover(site, *amend, "--approver", "ann")
    before = plans.digest(site.store, "bench")
    service = [sys.executable, "-m", "changeover.observer", "--home", str(site.home.root),
               "--migration", "bench"]
    with running(service, site.home.logs / "observer.log") as observer:
        beats = heartbeats.of
        wait_for(lambda: any(each.service == "observer" for each in beats(site.store, "bench")),
                 what="the observer works")
        said = changeover(site, *amend, "--approver", "bob")
        # in the supervisor's hands it is started again
        wait_for(lambda: observer.poll() == 0, what="the observer ends by itself")
    for change in ("gates.slo[error_rate].below: 1% → 5%", "phases[gradual].stages[75%]: new",
                   "ignore $.took_ms"):
        assert change in said
    assert "goes on with the amended plan (ann, bob)" in said
    assert "the plan is the one that runs" in changeover(
        site, *amend, "--approver", "bob", code=4)
    assert plans.digest(site.store, "bench") != before
    for who in ("ann", "bob"):
        changeover(site, "promote-now", "--approver", who, "--reason", "it is time")
    assert site.until_it_waits("cutover", run, kills=6).state_type == "PAUSED"
    assert site.carry_on("cutover", run).state_name == "Promoted"
    assert statuses(site)["gradual-75"] is StageStatus.PROMOTED
    told = {each.stage: check["plan"] for each in verdicts.all_of(site.store, 1)
            for check in each.evidence if each.gate == "slo"}
    earlier, amended = before[:12], plans.digest(site.store, "bench")[:12]
    assert told == {"gradual-10": earlier, "gradual-75": amended}
    check_report(site, told)
    kinds = [event.kind for event in audit.events(site.store, "bench")]
    assert (kinds.count("plan.amended"), kinds.count("cutover.amend")) == (1, 2)
    assert audit.verify(site.store, "bench") == []
    document["systems"]["candidate"]["url"] = "http://127.0.0.1:9"
    file.write_text(json.dumps(document))
    assert "no cutover of bench runs" in changeover(site, *amend, "--approver", "ann", code=4)
