"""What failed beside other tests is tried once more, alone, and both results are told."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import in_time, second_try

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin",
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # half of what it costs to start pytest a dozen times
}
CONFTEST = """
from tests.support.second_try import pytest_terminal_summary
"""
SUITE = """
import os
import pathlib
import pytest

MARK = pathlib.Path(__file__).with_name("ran-before")

def test_fine():
    assert True

@pytest.mark.integration
def test_busy():
    ran_before = MARK.exists()
    MARK.touch()
    assert ran_before

@pytest.mark.integration
def test_broken():
    assert False

def test_pure():
    assert False

@pytest.fixture(scope="module")
def busy_server():
    assert "PYTEST_XDIST_WORKER" not in os.environ

@pytest.mark.integration
@pytest.mark.parametrize("number", range(25))
def test_shared(busy_server, number):
    assert True
"""


def run(folder: Path, chosen: str) -> subprocess.CompletedProcess[str]:
    """Run the chosen tests of a made-up suite as `.ci/run` does, with its second try."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = integration: starts processes\n")
    (folder / "test_suite.py").write_text(SUITE)
    python = f"{sys.executable} -m"
    command = f"{python} pytest -p xdist -n 2 -k '{chosen}' || {python} tests.support.second_try"
    return subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True,
                          env=ENVIRONMENT, check=False)


def last(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line that was printed."""
    return done.stdout.strip().splitlines()[-1]


def test_one_that_passes_alone_is_flaky_and_fails_nothing(tmp_path: Path) -> None:
    """Both results are printed, and the last line counts the whole run."""
    done = run(tmp_path, "fine or busy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "flaky: test_suite.py::test_busy" in done.stdout
    assert "2 passed, 0 skipped, 1 flaky" in last(done)


def test_one_that_fails_alone_too_fails_the_run(tmp_path: Path) -> None:
    """The flaky one of the same file is named all the same; both had their try together."""
    done = run(tmp_path, "fine or busy or broken")
    assert done.returncode == 1
    assert done.stdout.count("now alone:") == 1
    assert "flaky: test_suite.py::test_busy" in done.stdout
    assert "FAILED test_suite.py::test_broken" in done.stdout
    assert "1 failed, 2 passed" in last(done)


def test_tests_that_share_what_could_not_be_set_up_have_one_try(tmp_path: Path) -> None:
    """More of them than there may be tries: it is one failure."""
    done = run(tmp_path, "fine or shared")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("now alone:") == 1
    assert "26 passed, 0 skipped, 25 flaky" in last(done)


def test_one_without_processes_fails_at_once(tmp_path: Path) -> None:
    """It cannot be the machine, so nothing is tried again."""
    done = run(tmp_path, "busy or pure")
    assert done.returncode == 1
    assert "no second try" in last(done) or "test_suite.py::test_pure" in last(done)
    assert "flaky" not in done.stdout


def test_a_run_in_which_all_passes_is_not_tried_again(tmp_path: Path) -> None:
    """Its own last line stays the last."""
    done = run(tmp_path, "fine")
    assert done.returncode == 0
    assert "1 passed" in last(done)


def test_a_run_that_ended_without_a_result_stays_failed(tmp_path: Path) -> None:
    """A suite that cannot be collected, or was interrupted, is no busy machine."""
    done = run(tmp_path, "fine and and")
    assert done.returncode == 1
    assert "no second try" in last(done)


def test_a_second_try_is_never_skipped_for_want_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would count as passed."""
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.support.in_time"]')
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text("def test_broken():\n    assert False\n")
    began = str(time.time() - 60 * (in_time.MIGRATIONS_MINUTES + 1))
    for name, value in {**ENVIRONMENT, in_time.BEGAN: began}.items():
        monkeypatch.setenv(name, value)
    assert second_try._failing(["test_it.py::test_broken"], tmp_path)


def test_a_second_try_that_takes_too_long_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CI would end it, and nobody would be told what failed."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_it.py").write_text("import time\ndef test_slow():\n    time.sleep(600)\n")
    began = str(time.time() - 60 * in_time.TRIES_MINUTES + 1)
    for name, value in {**ENVIRONMENT, in_time.BEGAN: began}.items():
        monkeypatch.setenv(name, value)
    nodes = ["test_it.py::test_slow"]
    assert second_try._failing(nodes, tmp_path) == set(nodes)
