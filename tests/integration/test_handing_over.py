"""What `changeover up` becomes after its start: the same supervisor in a small program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from changeover.errors import EXIT_INTERRUPTED
from changeover.site.home import Home
from changeover.supervisor.child import Child
from changeover.supervisor.keeper import Keeper
from changeover.supervisor.up import kept
from tests.support.processes import LONGEST_PAUSE, ROOT, kill, running, wait_for

pytestmark = pytest.mark.integration

SECRET = "nobody-may-find-this"
START = f"""
import os, signal, sys
from pathlib import Path
from changeover.errors import ChangeoverError
from changeover.site.home import Home
from changeover.supervisor.child import Child
from changeover.supervisor.handing_over import hand_over
from changeover.supervisor.keeper import ASKED_TO_END, Keeper

home = Home(Path(sys.argv[1]))
home.create()
sleep = [sys.executable, "-c", "import time; time.sleep(3600)"]
children = [Child(name, sleep, home.logs / name, {{"TOKEN": "{SECRET}"}})
            for name in ("console", "worker", "reports")]
for child in children[:2]:
    child.start()
keeper = Keeper(home, {{child.name: child for child in children}}, print, {{"migration": "m"}})
keeper.save()
if "--asked" in sys.argv:
    signal.pthread_sigmask(signal.SIG_BLOCK, ASKED_TO_END)
    os.kill(os.getpid(), signal.SIGTERM)
if "--ended" in sys.argv:
    children[0].process.kill()
    children[0].process.wait()
hand_over(keeper)
"""
Begin = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home; whatever still runs with it is ended."""
    found = Home(tmp_path / "home")
    yield found
    for name, known in found.settings().get("processes", {}).items():
        left = Child(name, [], Path())
        if left.adopt(known["pid"], known["created"]):
            left.end()


@pytest.fixture
def begin(home: Home, tmp_path: Path) -> Iterator[Begin]:
    """Starts two of three children and hands them over."""
    contexts = []

    def start(*options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", START, str(home.root), *options]
        context = running(command, tmp_path / "up.log")
        contexts.append(context)
        return context.__enter__()

    yield start
    for context in contexts:
        context.__exit__(None, None, None)


def is_small(supervisor: subprocess.Popen[bytes]) -> bool:
    """Whether the process has become the small program."""
    return "changeover.supervisor" in psutil.Process(supervisor.pid).cmdline()


def pid_of(home: Home, name: str) -> int:
    """Return the process id that everybody reads; 0 when there is none."""
    return int(home.settings().get("processes", {}).get(name, {}).get("pid", 0))


def test_what_ends_or_is_asked_for_is_started_again(home: Home, begin: Begin) -> None:
    """By the same process as before; what was never started is not."""
    supervisor = begin()
    wait_for(lambda: is_small(supervisor), what="the small program")
    noted = home.settings()
    assert noted["supervisor"]["pid"] == supervisor.pid
    os.kill(pid_of(home, "console"), signal.SIGKILL)
    wait_for(lambda: pid_of(home, "console") not in (0, noted["processes"]["console"]["pid"]),
             what="another console")
    home.ask_restart("worker")
    wait_for(lambda: pid_of(home, "worker") not in (0, noted["processes"]["worker"]["pid"]),
             what="another worker")
    children = psutil.Process(supervisor.pid).children()
    assert {child.pid for child in children} == {pid_of(home, "console"), pid_of(home, "worker")}
    assert all(child.environ()["TOKEN"] == SECRET for child in children)
    assert home.settings()["migration"] == "m"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_ends_everything(home: Home, begin: Begin, number: int) -> None:
    """With the exit code of an interruption, as before."""
    supervisor = begin()
    wait_for(lambda: is_small(supervisor), what="the small program")
    children = psutil.Process(supervisor.pid).children()
    supervisor.send_signal(number)
    assert supervisor.wait(LONGEST_PAUSE) == EXIT_INTERRUPTED
    assert not any(child.is_running() for child in children)
    assert home.settings()["supervisor"] is None


def test_a_signal_meanwhile_is_not_lost(home: Home, begin: Begin) -> None:
    """It is delivered when the small program can end what runs."""
    supervisor = begin("--asked")
    assert supervisor.wait(LONGEST_PAUSE) == EXIT_INTERRUPTED
    assert home.settings()["processes"] == {}


def test_a_child_that_ends_meanwhile_is_started_again(home: Home, begin: Begin) -> None:
    """It is not forgotten for having no process at that moment."""
    supervisor = begin("--ended")
    wait_for(lambda: is_small(supervisor), what="the small program")
    wait_for(lambda: len(psutil.Process(supervisor.pid).children()) == 2, what="both")
    wait_for(lambda: psutil.pid_exists(pid_of(home, "console")), what="another console")


def test_a_killed_supervisor_leaves_everything_running(home: Home, begin: Begin) -> None:
    """The next one takes over what `run.json` names."""
    supervisor = begin()
    wait_for(lambda: is_small(supervisor), what="the small program")
    kill(supervisor)
    for name in ("console", "worker"):
        known = home.settings()["processes"][name]
        assert Child(name, [], Path()).adopt(known["pid"], known["created"])


def test_secrets_of_processes_are_on_no_disk(home: Home, begin: Begin) -> None:
    """What is handed over stays in memory, and no process inherits it."""
    supervisor = begin()
    wait_for(lambda: is_small(supervisor), what="the small program")
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert files
    assert not any(SECRET in path.read_text(errors="replace") for path in files)
    for child in psutil.Process(supervisor.pid).children():
        opened = Path(f"/proc/{child.pid}/fd").iterdir()
        assert not any("memfd" in str(one.readlink()) for one in opened)


def test_what_cannot_be_noted_does_not_end_the_restarting(home: Home) -> None:
    """As with a full disk: it is told once, and what ends the next time is started again."""
    home.create()
    (home.root / "run.json").mkdir()
    child = Child("worker", ["sleep", "3600"], home.logs / "worker.log")
    child.start()
    told: list[str] = []
    with kept(Keeper(home, {"worker": child}, told.append, {})):
        for _ in range(2):
            ended = child.process
            assert ended is not None
            ended.kill()
            wait_for(lambda before=ended: child.process not in (None, before) and child.is_alive,
                     what="another worker")
    child.end()
    (home.root / "run.json").rmdir()
    assert any("cannot be written" in line for line in told)


def test_the_small_program_is_small() -> None:
    """It reads no module that only a start needs."""
    script = ("import json, sys, changeover.supervisor.__main__; "
              "sys.stdout.write(json.dumps([*sys.modules]))")
    told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True,
                          check=True, timeout=LONGEST_PAUSE).stdout
    heavy = {"sqlalchemy", "pydantic", "httpx", "numpy", "click", "changeover.plan.model"}
    assert heavy.isdisjoint(json.loads(told))
