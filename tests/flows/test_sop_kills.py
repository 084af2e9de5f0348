"""kill -9 at every point of every procedure: the same end as undisturbed, every effect once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.procedures import of_cutover, of_rollback
from changeover.domain.routing import Change, Mode
from changeover.plan.model import Plan
from changeover.store import approvals, audit, cutovers, rollbacks, routing, steps
from tests.integration.conftest import make_plan
from tests.support.processes import wait_for
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration, pytest.mark.chaos, pytest.mark.timeout(1500)]

SUITE = [
    {"kind": "http", "of": "baseline", "path": "/health"},
    {"kind": "gateway"},
]


def plan_of(directory: Path) -> Plan:
    """Return a plan whose procedures have every step there is."""
    data, temporary = directory / "data", directory / "candidate-files"
    for folder in (data, temporary):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "file.txt").write_text(folder.name)
    return make_plan(
        health_timeout="60s",
        levers={name: {"of": "candidate", "post": f"/lever/{name}"}
                for name in ("final", "off", "on", "stop", "gone")},
        suites={"pre_cutover": SUITE, "post_cutover": SUITE, "post_rollback": SUITE},
        gates={"slo": [{"metric": "error_rate", "below": "20%", "over": "5s", "min_samples": 3}]},
        phases=[
            {"phase": "gradual", "gates": ["slo"], "stages": [{"percent": 50, "soak": "1s"}]},
            {"phase": "full", "soak": "1s", "approval": {"approvers": 1}},
            {"phase": "deprecation", "after": "0s", "levers": ["gone"]},
        ],
        patience={"recheck": "1s", "rechecks": 60},
        flags={"enable_ai": False},
        cutover={
            "preconditions": {"suite": "pre_cutover", "disk": "1MB"},
            "backup": {"folders": {"data": str(data)}},
            "final": {"flags": {"enable_ai": True}, "levers": ["final"]},
            "disable_baseline": {"levers": ["off"], "undo": ["on"]},
            "validate": "post_cutover",
            "observe": {"duration": "1s"},
        },
        rollback={
            "safe_flags": {"enable_ai": False}, "roots": [str(temporary)],
            "cleanup": [f"{temporary}/*"], "any_age": True, "restore": ["stop"],
            "verify": "post_rollback",
        },
    )


def effects(site: SopSite) -> dict[str, Any]:
    """Return everything that a procedure leaves behind, without times and ids of runs.

    How often a gate was looked at is left out: it depends on when there was enough to judge.
    """
    state = routing.read(site.store, "bench")
    cutover = cutovers.latest(site.store, "bench")
    kinds = Counter(
        (event.kind, str(event.data.get("stage") or event.data.get("step")
                         or event.data.get("lever") or event.data.get("suite") or ""))
        for event in audit.events(site.store, "bench") if event.kind != "gate.judged"
    )
    return {
        "state": (state.mode, state.weight, state.version, state.epoch),
        "served": wait_for(site.bench.gateway.served) == state.order,
        "cutover": cutover and (str(cutover.status), cutover.outcome),
        "audit": kinds,
        "levers": site.bench.ran("candidate")["levers"],
        "steps": cutover and {
            (step.name, step.status)
            for step in steps.all_of(site.store, "bench", of_cutover(cutover.id))},
        "approvals": cutover and [
            (a.stage, a.decision, a.approver) for a in approvals.all_of(site.store, cutover.id)],
        "rollbacks": [
            (r.status, [(s.number, s.status) for s in steps.all_of(
                site.store, "bench", of_rollback(r.id))])
            for r in rollbacks.all_of(site.store, "bench")],
        "backups": sorted(p.name for p in (site.home.root / "backups").glob("*")),
        "files": sorted(p.name for p in (site.home.root.parent / "candidate-files").glob("*")),
    }


def cut_over(server: PrefectServer, directory: Path, *, kills: bool) -> tuple[Any, list[str]]:
    """Cut over, then retire the baseline; return what both left behind, and the kills."""
    with sop_site(server, plan_of(directory), directory) as site:
        found = []
        for flow in ("cutover", "deprecation"):
            run = site.carry_out(flow, kills=kills)
            found.append((run.state_name, effects(site)))
        assert audit.verify(site.store, "bench") == []
        return found, site.killed


def roll_back(server: PrefectServer, directory: Path, *, kills: bool) -> tuple[Any, list[str]]:
    """Move half of the users, roll back, and return what that left behind, and the kills."""
    with sop_site(server, plan_of(directory), directory) as site:
        state = routing.change(
            site.store, "bench", Change(mode=Mode.GRADUAL, weight=5_000, is_by_person=True),
            Author("test", "test"), now=clock.now())
        site.bench.gateway.publish(site.plan, state)
        run = site.carry_out("rollback", kills=kills, reason="wrong totals")
        assert audit.verify(site.store, "bench") == []
        return [(run.state_name, effects(site))], site.killed


def around(*steps: str) -> set[str]:
    """Return the points before and after steps."""
    return {f"{edge} {step}" for step in steps for edge in ("before", "after")}


def test_cutover_killed_at_every_point_ends_as_undisturbed(
    server: PrefectServer, tmp_path: Path
) -> None:
    """Before and after each step, and between each action and its record; deprecation, too."""
    calm, nobody = cut_over(server, tmp_path / "calm", kills=False)
    assert nobody == []
    assert [name for name, _ in calm] == ["Promoted", "Retired"]
    killed, points = cut_over(server, tmp_path / "killed", kills=True)
    assert killed == calm
    assert len(points) > 60
    assert around("preconditions", "back up", "write rollback.sh", "final configuration",
                  "disable the baseline", "retire the baseline") <= set(points)
    assert {f"before save {step} done" for step in (
        "backup", "rollback.sh", "baseline disabled", "success criteria")} <= set(points)


def test_rollback_killed_at_every_point_ends_as_undisturbed(
    server: PrefectServer, tmp_path: Path
) -> None:
    """Traffic, clean-up, restore, analysis, verification: each done once, whoever is killed."""
    calm, nobody = roll_back(server, tmp_path / "calm", kills=False)
    assert nobody == []
    assert calm[0][0] == "RolledBack"
    killed, points = roll_back(server, tmp_path / "killed", kills=True)
    assert killed == calm
    assert around("1 safe flags and routes", "2 clean up", "3 restore", "4 analysis",
                  "5 verify", "close rollback") <= set(points)
    assert {f"before save {step} done" for step in (
        "safe flags and routes", "clean up", "restore", "analysis", "verify")} <= set(points)
