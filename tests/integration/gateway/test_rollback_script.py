"""`rollback.sh`: back to the baseline with a shell only, from every stage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from changeover import clock
from changeover.domain.routing import Mode, RoutingState
from changeover.errors import PublishFailed, Refused
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.procedures import retirement_note
from changeover.procedures.rollback_script import write_rollback_script
from changeover.site.home import Home
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.processes import LONGEST_PAUSE, kill, wait_for

pytestmark = pytest.mark.integration
TOOLS = ("sh", "sed", "date", "mv", "tr", "dirname", "sleep")
STAGES = {
    "shadow": (Mode.SHADOW, 0, {}), "beta 5 %": (Mode.GRADUAL, 500, {"segments": ("beta",)}),
    "gradual 50 %": (Mode.GRADUAL, 5_000, {"segments": ("beta",)}),
    "full": (Mode.CANDIDATE_ONLY, 10_000, {}),
}


def patient(**parts: object) -> Plan:
    """Return a plan whose baseline is well however late it says so."""
    return make_plan(health_timeout="60s", **parts)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A serving gateway with everyone at a baseline that is well."""
    yield from start_bench(patient(), tmp_path)


def tools(folder: Path, *more: str) -> str:
    """Return a PATH with nothing but what the script says it needs."""
    folder.mkdir()
    for name in (*TOOLS, *more):
        (folder / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return str(folder)


def run(
    script: Path, path: str, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing in the environment but what is given."""
    return subprocess.run([f"{path}/sh", str(script), *arguments], env={"PATH": path, **env},
                          capture_output=True, text=True, timeout=300, check=False)


def served_by(bench: Bench) -> set[str]:
    """Ask as a hundred users and as one of the segment."""
    with httpx.Client(base_url=bench.url, timeout=LONGEST_PAUSE) as client:
        found = {client.get("/", headers={"x-user-id": f"u{n}"}).json()["served_by"]
                 for n in range(100)}
        return found | {client.get("/", headers={"x-cohort": "beta"}).json()["served_by"]}


@pytest.mark.parametrize("more", [["curl"], ["python3"], []], ids=["curl", "python3", "neither"])
def test_script_brings_everyone_back_from_every_stage(
    bench: Bench, tmp_path: Path, more: list[str]
) -> None:
    """Whatever the machine has, and twice in a row, it leads to the baseline."""
    script, path = write_rollback_script(bench.plan, bench.gateway.files, tmp_path / "rescue"), \
        tools(tmp_path / "bin", *more)
    for title, (mode, weight, fields) in STAGES.items():
        bench.move(mode, weight, **fields)
        assert title == "shadow" or "candidate" in served_by(bench)
        for _ in range(2):
            done = run(script, path, f'stage "{title}" fails; $(touch {tmp_path}/pwned)')
            assert done.returncode == (0 if more else 1), done.stderr
        wait_for(lambda: served_by(bench) == {"baseline"}, what="everyone at the baseline")
        journal = bench.gateway.journal()
        assert journal is not None
        assert journal["actor"] == "rollback.sh"
        with pytest.raises(PublishFailed, match="break-glass"):
            bench.move(Mode.CANDIDATE_ONLY, 10_000)
        bench.state = RoutingState(
            "bench", version=journal["version"] + 1, epoch=journal["epoch"])
        bench.gateway.reconcile(bench.plan, bench.state)
    assert not (tmp_path / "pwned").exists()


def test_script_goes_further_than_a_node_that_was_only_lost(bench: Bench, tmp_path: Path) -> None:
    """That node's users would come back with the database; those of the script do not."""
    script, path = write_rollback_script(bench.plan, bench.gateway.files, tmp_path / "rescue"), \
        tools(tmp_path / "bin", "curl")
    bench.move(Mode.GRADUAL, 5_000)
    lost = bench.gateway.break_glass(
        reason="cut off", actor="node", now=clock.now(), facts={"lost": True})
    for _ in range(2):
        assert run(script, path, "wrong sums").returncode == 0
        journal = bench.gateway.journal()
        assert journal is not None
        assert (journal["epoch"], journal["version"], journal["reason"], journal["actor"]) == (
            lost["epoch"], lost["version"] + 1, "wrong sums", "rollback.sh")
        assert "lost" not in journal


def test_script_pulls_levers_only_when_told(tmp_path: Path) -> None:
    """Commands and posts run with what they were given; a failing one is told."""
    plan = make_plan(
        levers={"stop": {"of": "baseline", "post": "/stop", "body": {"why": "it's over"}},
                "note": {"command": ["touch", str(tmp_path / "a 'file'")]}},
        rollback={"restore": ["note", "stop"]})
    for bench in start_bench(plan, tmp_path):
        script = write_rollback_script(plan, bench.gateway.files, tmp_path / "rescue")
        path = tools(tmp_path / "bin", "curl", "touch")
        assert run(script, path, "why").returncode == 0
        assert not (tmp_path / "a 'file'").exists()
        assert run(script, path, "why", "--levers").returncode == 0
        assert (tmp_path / "a 'file'").exists()
        kill(bench.processes["baseline"])
        done = run(script, path, "why", "--levers")
        assert (done.returncode, "a person must do it" in done.stderr) == (1, True)


def test_script_brings_a_disabled_baseline_back_first(tmp_path: Path) -> None:
    """One that is out of use is enabled before users are sent to it; one that is well is not."""
    plan = patient(
        levers={name: {"of": "baseline", "post": f"/lever/{name}"} for name in ("off", "on")},
        cutover={"disable_baseline": {"levers": ["off"], "undo": ["on"], "undo_within": "5s"}})
    for bench in start_bench(plan, tmp_path):
        script = write_rollback_script(plan, bench.gateway.files, tmp_path / "rescue")
        path = tools(tmp_path / "bin", "curl", "seq")
        bench.move(Mode.CANDIDATE_ONLY, 10_000)
        bench.fault("503", "baseline")
        done = run(script, path, "why")
        assert "THE BASELINE DOES NOT ANSWER" in done.stderr
        assert bench.ran("baseline")["levers"] == ["on"]
        bench.fault("none", "baseline")
        assert run(script, path, "why").returncode == 0
        assert bench.ran("baseline")["levers"] == ["on"]
        assert served_by(bench) == {"baseline"}


@pytest.mark.parametrize("more", [["curl"], ["python3"], []], ids=["curl", "python3", "neither"])
def test_script_sends_nobody_to_a_retired_baseline_that_is_gone(
    bench: Bench, tmp_path: Path, more: list[str]
) -> None:
    """Weeks later the old system may be gone for good; one that runs again is as good as before."""
    script, path = write_rollback_script(bench.plan, bench.gateway.files, tmp_path / "rescue"), \
        tools(tmp_path / "bin", *more)
    bench.move(Mode.CANDIDATE_ONLY, 10_000)
    retirement_note.note(bench.gateway.files, bench.plan, now=clock.now())
    bench.fault("503", "baseline")
    done = run(script, path, "wrong totals")
    assert (done.returncode, "the baseline was retired" in done.stderr) == (2, True)
    assert bench.gateway.journal() is None
    assert served_by(bench) == {"candidate"}
    bench.fault("none", "baseline")
    if not more:  # nobody can ask whether it is well: a person says so
        bench.gateway.files.retired.unlink()
    assert run(script, path, "wrong totals").returncode == (0 if more else 1)
    wait_for(lambda: served_by(bench) == {"baseline"}, what="everyone at the baseline")


def test_break_glass_sends_nobody_to_a_retired_baseline_that_is_gone(tmp_path: Path) -> None:
    """The command says so as the script does, and works once the baseline runs again."""
    home = Home(tmp_path / "home")
    home.create()
    with contextmanager(start_bench)(patient(), home.root) as bench:
        bench.move(Mode.CANDIDATE_ONLY, 10_000)
        retirement_note.note(bench.gateway.files, bench.plan, now=clock.now())
        bench.fault("503", "baseline")
        command = [sys.executable, "-m", "changeover.cli", "rollback", "--reason", "wrong totals",
                   "--break-glass", "--home", str(home.root)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert (done.returncode, "old was retired" in done.stderr) == (Refused.exit_code, True)
        assert served_by(bench) == {"candidate"}
        bench.fault("none", "baseline")
        assert subprocess.run(command, timeout=300, check=False).returncode == 0
        wait_for(lambda: served_by(bench) == {"baseline"}, what="everyone at the baseline")


def test_script_waits_for_no_lever_longer_than_the_plan_says(tmp_path: Path) -> None:
    """One that hangs is ended, the next one is pulled, and everyone is moved."""
    plan = patient(
        levers={"hang": {"command": ["sleep", "600"], "timeout": "2s"},
                "half": {"of": "candidate", "post": "/lever/half", "timeout": "500ms"},
                "on": {"of": "baseline", "post": "/fault?kind=none", "timeout": "60s"}},
        cutover={"disable_baseline": {
            "levers": ["hang"], "undo": ["hang", "half", "on"], "undo_within": "120s"}})
    for bench in start_bench(plan, tmp_path):
        script = write_rollback_script(plan, bench.gateway.files, tmp_path / "rescue")
        bench.move(Mode.CANDIDATE_ONLY, 10_000)
        bench.fault("hang")
        bench.fault("503", "baseline")
        done = run(script, tools(tmp_path / "bin", "curl"), "why")
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("FAILED") == 2  # the one that hangs, and the frozen candidate's
        assert served_by(bench) == {"baseline"}


def test_script_waits_for_all_levers_no_longer_than_the_plan_says(tmp_path: Path) -> None:
    """One that may take longer is ended with `undo_within`; the next is pulled all the same."""
    plan = patient(
        levers={"hang": {"command": ["sleep", "600"], "timeout": "600s"},
                "on": {"of": "baseline", "post": "/lever/on"}},
        cutover={"disable_baseline": {
            "levers": ["hang"], "undo": ["hang", "on"], "undo_within": "1s"}})
    for bench in start_bench(plan, tmp_path):
        script = write_rollback_script(plan, bench.gateway.files, tmp_path / "rescue")
        bench.move(Mode.CANDIDATE_ONLY, 10_000)
        bench.fault("503", "baseline")
        done = run(script, tools(tmp_path / "bin", "curl"), "why")
        assert done.returncode == 0, done.stderr
        assert "FAILED" in done.stderr
        assert "lever on" in done.stdout
        bench.fault("none", "baseline")
        assert served_by(bench) == {"baseline"}


@pytest.mark.parametrize("more", [["curl"], ["python3"]], ids=["curl", "python3"])
def test_script_asks_no_proxy_whether_the_baseline_is_well(
    tmp_path: Path, more: list[str]
) -> None:
    """A proxy that is away makes no healthy baseline look dead."""
    plan = patient(
        levers={"on": {"command": ["touch", str(tmp_path / "pulled")]}},
        cutover={"disable_baseline": {"levers": ["on"], "undo": ["on"], "undo_within": "60s"}})
    for bench in start_bench(plan, tmp_path):
        script = write_rollback_script(plan, bench.gateway.files, tmp_path / "rescue")
        path = tools(tmp_path / "bin", "touch", *more)
        proxies = {name: "http://127.0.0.1:1" for name in ("http_proxy", "HTTP_PROXY")}
        assert run(script, path, "why", **proxies).returncode == 0
        assert not (tmp_path / "pulled").exists()


def test_script_brings_the_baseline_back_when_nobody_can_ask_it(tmp_path: Path) -> None:
    """Without curl and python3 it is started rather than hoped for, and people are told."""
    plan = make_plan(
        levers={"on": {"command": ["touch", str(tmp_path / "pulled")]}},
        cutover={"disable_baseline": {"levers": ["on"], "undo": ["on"], "undo_within": "60s"}})
    for bench in start_bench(plan, tmp_path):
        script = write_rollback_script(plan, bench.gateway.files, tmp_path / "rescue")
        done = run(script, tools(tmp_path / "bin", "touch"), "why")
        assert "LOOK WHETHER THE BASELINE ANSWERS" in done.stderr
        assert (tmp_path / "pulled").exists()


def test_script_pulls_levers_as_changeover_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its Python though there is none on the PATH, from its folder wherever one stands."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "stop.sh").write_text("#!/bin/sh\n: > stopped\n")
    (folder / "stop.sh").chmod(0o755)
    plan = make_plan(
        levers={"note": {"command": ["python", "-c", "open('noted', 'w')"]},
                "stop": {"command": ["./stop.sh"]}},
        rollback={"restore": ["note", "stop"]})
    for bench in start_bench(plan, tmp_path):
        with monkeypatch.context() as there:
            there.chdir(folder)
            script = write_rollback_script(plan, bench.gateway.files, tmp_path / "rescue")
        done = run(script, tools(tmp_path / "bin", "curl"), "why", "--levers")
        assert done.returncode == 0, done.stderr
        assert {"noted", "stopped"} <= {each.name for each in folder.iterdir()}


def test_script_says_when_it_can_do_nothing(tmp_path: Path) -> None:
    """Without a gateway there is nothing to roll back, and it says so."""
    plan = make_plan()
    script = write_rollback_script(plan, GatewayFiles(tmp_path / "nowhere"), tmp_path / "rescue")
    done = run(script, tools(tmp_path / "bin"))
    assert (done.returncode, "not done because" in done.stderr) == (2, True)
    assert json.loads((tmp_path / "rescue" / "routes.template.json").read_text())["version_info"]
