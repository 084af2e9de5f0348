"""Whole migrations run two at a time; what only computes runs beside them and takes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests.conftest import (
    pytest_collection_modifyitems, pytest_runtest_setup, pytest_xdist_make_scheduler)
"""
TEST = """
import os
import pathlib

def note():
    given = "idle" if os.sched_getscheduler(0) == os.SCHED_IDLE else "all"
    with pathlib.Path("ran").open("a") as ran:
        kind, worker = pathlib.Path(__file__).parent.name, os.environ["PYTEST_XDIST_WORKER"]
        ran.write(f"{kind} {worker} {given}\\n")

def test_one():
    note()

def test_two():
    note()

def test_three():
    note()
"""


def ran(folder: Path, workers: int, **files: int) -> Iterator[tuple[str, str, str]]:
    """Run so many files of each kind; yield kind, worker, and what a test gets of the machine."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for kind, number in files.items():
        (folder / kind).mkdir()
        for each in range(number):
            (folder / kind / f"test_{kind}_{each}.py").write_text(TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "-n", str(workers), "--dist", "loadfile",
         "--no-loadscope-reorder"], cwd=folder, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin",
             "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (folder / "ran").read_text().splitlines():
        kind, worker, given = line.split()
        yield kind, worker, given


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has it")
def test_what_computes_runs_beside_migrations_and_gets_what_they_leave(tmp_path: Path) -> None:
    """Two workers have the migrations, others run the rest, idle for the system."""
    found = list(ran(tmp_path, 4, flows=1, store=2, migrations=3, core=6))
    assert len(found) == 3 * 12
    assert {given for kind, _, given in found if kind == "core"} == {"idle"}
    assert {given for kind, _, given in found if kind != "core"} == {"all"}
    assert len({worker for kind, worker, _ in found if kind == "migrations"}) <= 2
    assert len({worker for kind, worker, _ in found if kind == "core"}) >= 2


def test_two_workers_run_everything(tmp_path: Path) -> None:
    """What computes comes last there."""
    found = list(ran(tmp_path, 2, store=1, migrations=3, core=2))
    assert len(found) == 3 * 6


def test_without_migrations_nobody_steps_back(tmp_path: Path) -> None:
    """A developer's run of some tests is as fast as the machine."""
    found = list(ran(tmp_path, 2, store=1, core=4))
    assert len(found) == 3 * 5
    assert {given for _, _, given in found} == {"all"}
