"""A process that goes on when its supervisor is killed, and is found again: the users' gateway."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from changeover.errors import EnvironmentProblem
from changeover.supervisor.child import Child
from tests.support.processes import ROOT, wait_for

pytestmark = pytest.mark.integration

ASKS_TO_END = """
import ctypes, pathlib, signal, sys, time
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG, as Envoy does
pathlib.Path(sys.argv[1]).write_text("ready")
time.sleep(600)
"""
STARTS_ONE = """
import pathlib, sys, time
from changeover.supervisor.child import Child
child = Child("gateway", sys.argv[2:], pathlib.Path(sys.argv[1]), outlives=True)
child.start()
time.sleep(600)
"""


def child_of(folder: Path) -> Child:
    """Return a program that asks to be ended with its parent, not started."""
    program = folder / "program.py"
    program.write_text(ASKS_TO_END)
    command = [sys.executable, str(program), str(folder / "ready")]
    return Child("gateway", command, folder / "log", outlives=True)


def test_it_outlives_a_supervisor_that_nobody_noted_anything_of(tmp_path: Path) -> None:
    """Killed before it could note the process: the next one takes it over, and can end it."""
    child = child_of(tmp_path)
    supervisor = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE, str(child.log), *child.command], cwd=ROOT)
    wait_for((tmp_path / "ready").exists, what="the program")
    supervisor.send_signal(signal.SIGKILL)
    supervisor.wait()
    assert child.adopt_lost()
    assert child.process is not None and child.is_alive and child.is_adopted
    assert child.process.ppid() != supervisor.pid
    child.end()
    assert not child.is_alive
    assert not child_of(tmp_path).adopt_lost()


def test_it_is_told_to_end_like_every_other(tmp_path: Path) -> None:
    """Signals are held back while it is started, not in the program itself."""
    child = child_of(tmp_path)
    child.start()
    try:
        wait_for((tmp_path / "ready").exists, what="the program")
        assert child.process is not None
        status = Path(f"/proc/{child.process.pid}/status").read_text()
        (blocked,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigBlk")]
        assert not int(blocked, 16)
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}
        os.kill(child.process.pid, signal.SIGTERM)
        wait_for(lambda: not child.is_alive, what="its end")
    finally:
        child.end()


def test_a_program_that_is_missing_is_one_clear_message(tmp_path: Path) -> None:
    """As for processes that do not outlive anybody."""
    child = Child("gateway", [str(tmp_path / "none")], tmp_path / "log", outlives=True)
    with pytest.raises(EnvironmentProblem, match="gateway cannot be started: No such file"):
        child.start()
