"""What computes comes first, whole migrations last, two at a time; CI ends in time."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import in_time

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CONFTEST = """
pytest_plugins = ["tests.support.in_time"]
from tests.conftest import pytest_collection_modifyitems, pytest_xdist_make_scheduler
"""
TEST = """
import os
import pathlib

def note():
    with pathlib.Path("ran").open("a") as ran:
        kind, worker = pathlib.Path(__file__).parent.name, os.environ["PYTEST_XDIST_WORKER"]
        ran.write(f"{kind} {worker}\\n")

def test_one():
    note()

def test_two():
    note()

def test_three():
    note()
"""


def run(
    folder: Path, workers: int, began: float | None = None, **files: int
) -> tuple[list[tuple[str, str]], str]:
    """Run so many files of each kind; return kind and worker of each test, and the output."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for kind, number in files.items():
        (folder / kind).mkdir()
        for each in range(number):
            (folder / kind / f"test_{kind}_{each}.py").write_text(TEST)
    hurry = {} if began is None else {in_time.BEGAN: str(began)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "-n", str(workers), "--dist", "loadfile",
         "--no-loadscope-reorder"], cwd=folder, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **hurry,
             "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    ran = folder / "ran"
    lines = ran.read_text().splitlines() if ran.exists() else []
    return [(line.split()[0], line.split()[1]) for line in lines], done.stdout


def test_whole_migrations_come_last_and_two_at_a_time(tmp_path: Path) -> None:
    """Whatever else there is, it is done before."""
    found, _ = run(tmp_path, 4, flows=1, store=2, migrations=4, core=6)
    kinds = [kind for kind, _ in found]
    assert len(kinds) == 3 * 13
    first = kinds.index("migrations")
    # the other workers' last file may still be under way
    assert kinds[first:].count("migrations") == 12 and len(kinds) - first - 12 <= 6
    assert len({worker for kind, worker in found if kind == "migrations"}) <= 2


def test_two_workers_run_everything(tmp_path: Path) -> None:
    """None of them waits for the other."""
    found, said = run(tmp_path, 2, store=1, migrations=3, core=2)
    assert len(found) == 3 * 6 and "NOT RUN" not in said


@pytest.mark.parametrize(("minutes", "kinds"), [
    (in_time.MINUTES - 5, {"core", "migrations"}), (in_time.MINUTES + 1, {"migrations"}),
    (in_time.MIGRATIONS_MINUTES + 1, set())])
def test_a_slow_machine_says_what_it_did_not_run(
    tmp_path: Path, minutes: float, kinds: set[str]
) -> None:
    """A run that is ended from outside says nothing."""
    found, said = run(tmp_path, 2, time.time() - 60 * minutes, core=2, migrations=2)
    assert {kind for kind, _ in found} == kinds
    missed = 6 * (2 - len(kinds))
    assert (f"NOT RUN, no time was left: {missed} tests" in said) is bool(missed)
    assert said.count("3  core/test_core_") == (0 if "core" in kinds else 2)
