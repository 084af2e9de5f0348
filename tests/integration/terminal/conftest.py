"""A home whose store knows a migration; no service runs."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from changeover import clock
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import plans
from tests.integration.conftest import make_plan
from tests.support.processes import LONGEST_PAUSE, ROOT
from tests.support.ready_store import ready_store

Prepare = Callable[..., Site]


@pytest.fixture
def prepare(tmp_path: Path) -> Iterator[Prepare]:
    """Return a function that registers a plan in the home's store and returns its site."""
    home = Home(tmp_path / "home")
    home.create()
    store = ready_store(home.store_url, timeout=LONGEST_PAUSE)

    def register(plan: Plan | None = None) -> Site:
        found = plan or make_plan()
        plans.register(store, found, source="test", now=clock.now())
        home.save_settings({"migration": found.migration, "api_url": "http://127.0.0.1:9/api"})
        return Site(home, found, store)

    yield register
    store.close()


@dataclass
class Terminal:
    """A command in a terminal of its own."""

    process: subprocess.Popen[bytes]
    screen: int
    seen: str = field(default="")

    def read_until(self, text: str) -> str:
        """Read what is written until it has a text."""
        deadline = time.monotonic() + LONGEST_PAUSE
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.screen], [], [], 0.2)[0]:
                self.seen += self._chunk()
        return self.seen

    def _chunk(self) -> str:
        try:
            return os.read(self.screen, 65536).decode()
        except OSError:  # the other end is closed: the program is gone
            return ""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.screen, keys.encode())

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.ended()

    def ended(self) -> int:
        """Return the exit code; what was written until then is in `seen`."""
        deadline = time.monotonic() + LONGEST_PAUSE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.screen], [], [], 0.2)[0]:
                self.seen += self._chunk()
        while select.select([self.screen], [], [], 0)[0]:
            if not (more := self._chunk()):
                break
            self.seen += more
        return int(self.process.returncode)


@contextmanager
def in_terminal(home: Path, *arguments: str, columns: int = 80, **env: str) -> Iterator[Terminal]:
    """Run a command of ours in a pseudo-terminal of so many columns and 40 lines."""
    command = [sys.executable, "-m", "changeover.cli", *arguments, "--home", str(home)]
    with opened(command, columns=columns, **env) as terminal:
        yield terminal


def _take_terminal() -> None:
    """Make standard input the terminal that controls this process: shells insist on it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # a suite that runs in the background ignores Ctrl-C, and so would its children
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def opened(command: list[str], *, columns: int = 80, **env: str) -> Iterator[Terminal]:
    """Run any program in a pseudo-terminal; end it when the block ends."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", **env}
    # they would be believed before the terminal itself
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=ROOT, env=environment,
        start_new_session=True, preexec_fn=_take_terminal)
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
