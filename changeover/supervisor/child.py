"""One supervised process: started in its own group, adopted after a restart, ended as a family."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from changeover.errors import EnvironmentProblem
from changeover.machine.break_glass_token import TOKEN_VARIABLE
from changeover.site.home import HOME_VARIABLE

LONGEST_BACKOFF_SECONDS = 5.0
STEADY_SECONDS = 10.0
"""Whoever ran for so long is started again at once: it did not fail at its start."""


@dataclass
class Child:
    """A process that the supervisor starts and restarts.

    Args:
        name: Name for people and log files.
        command: Program and arguments.
        log: File that its output is appended to.
        env: Variables beside the supervisor's own.
        directory: Working directory; None for the supervisor's.
        restart: Start it again when it ends.
        outlives: Start it so that it goes on when the supervisor is killed, although it asks the
            system to be ended with its parent, as Envoy does.
        process: The process, when it was started or taken over.
        is_adopted: Whether an earlier supervisor started it.
        is_wanted: Whether it was started or taken over, and so is to run.
        digest: Of the command that the process was started with; empty when nobody noted it.
    """

    name: str
    command: list[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    restart: bool = True
    outlives: bool = False
    process: psutil.Process | None = None
    is_adopted: bool = False
    is_wanted: bool = False
    digest: str = ""
    _began: float = 0.0
    _backoff: float = 0.1
    _not_before: float = 0.0

    def start(self) -> None:
        """Start the process.

        Raises:
            EnvironmentProblem: The program is missing or may not be run.
        """
        # Nobody of ours is the parent of one that outlives us: it must not begin unknown.
        with _undisturbed() if self.outlives else contextlib.nullcontext():
            try:
                self.process = psutil.Process(self._launch())
            # a missing program, no memory for a process, or one that ended at once
            except (OSError, subprocess.SubprocessError, psutil.NoSuchProcess) as error:
                why = getattr(error, "strerror", None) or error
                raise EnvironmentProblem(
                    f"{self.name} cannot be started: {why}", where=self.command[0],
                    next_step="Install it, or mend the command in the plan",
                ) from error
        self.is_adopted, self.is_wanted = False, True
        self.digest = self._digest()
        self._began = time.monotonic()

    def _launch(self) -> int:
        """Start the program; return its process."""
        with ExitStack() as stack:
            output = stack.enter_context(self.log.open("ab"))
            told: _Told | None = None
            if self.outlives:
                told = stack.enter_context(closing(_Told()))
            started = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, env=self._environment(),
                # Ctrl-C in the terminal then reaches the supervisor alone, which ends in order
                cwd=self.directory, start_new_session=True,
                preexec_fn=told.step_aside if told else None,
            )
            if told is None:
                return started.pid
            started.wait()
            return told.pid()

    def _digest(self) -> str:
        """Return what tells this command, and the Prefect it works with, from others."""
        # no more of the variables: they hold secrets, and PATH is another one in each terminal
        told = "\0".join([*self.command, self.env.get("PREFECT_API_URL", "")])
        return f"{zlib.crc32(told.encode()):08x}"

    @property
    def is_outdated(self) -> bool:
        """Whether its process was taken over and was started with another command."""
        return self.is_adopted and self.digest != self._digest()

    def _environment(self) -> dict[str, str]:
        """Return what the program inherits: not the token that moves users at every node."""
        kept = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
        return {**kept, **self.env}

    def adopt(self, pid: int, created: float, digest: str = "") -> bool:
        """Take over a process that an earlier supervisor started; return whether it lives."""
        with contextlib.suppress(psutil.Error):
            found = psutil.Process(pid)
            # the same number may be another process by now; it began at another time
            if abs(found.create_time() - created) < 0.02 and found.is_running():
                self.process = found
                self.is_adopted = self.is_wanted = True
                self.digest = digest
                self._began = time.monotonic()
                return True
        return False

    def adopt_lost(self) -> bool:
        """Take over the process of this command that nobody noted; return whether it lives.

        A supervisor that is killed at the wrong moment leaves one that outlives it. The program and
        its first option with a value tell it; what follows may have been changed in the plan.
        """
        for found in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                is_it = found.cmdline()[:3] == self.command[:3]
                if is_it and self.adopt(found.pid, found.create_time()):
                    return True
        return False

    def description(self) -> dict[str, Any]:
        """Return what `described` makes the same child of; it holds secrets."""
        found = None
        # with the time of its start: the number alone may belong to another process later
        if self.process is not None:
            with contextlib.suppress(psutil.Error):
                found = self.process.pid, self.process.create_time(), self.digest
        return {
            "name": self.name, "command": self.command, "log": str(self.log),
            "env": {**self.env}, "directory": str(self.directory or Path.cwd()),
            "restart": self.restart, "outlives": self.outlives,
            "is_wanted": self.is_wanted, "process": found,
        }

    @classmethod
    def described(cls, found: dict[str, Any]) -> Child:
        """Return the child of a description, with its process if that is still there."""
        log, directory = Path(found["log"]), Path(found["directory"])
        child = cls(found["name"], found["command"], log, found["env"], directory,
                    found["restart"], found["outlives"], is_wanted=found["is_wanted"])
        if found["process"] is not None:
            child.adopt(*found["process"])
        return child

    @property
    def is_alive(self) -> bool:
        """Whether the process runs; a zombie does not."""
        if self.process is None:
            return False
        try:
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def revive(self) -> bool:
        """Start the process again if it ended and should run; return whether it was."""
        if self.is_alive or not (self.restart and self.is_wanted):
            return False
        now = time.monotonic()
        if now < self._not_before:
            return False
        is_steady = now - self._began > STEADY_SECONDS
        self._backoff = 0.1 if is_steady else min(LONGEST_BACKOFF_SECONDS, self._backoff * 2)
        self._not_before = now + self._backoff
        # a process that ended stays a zombie until its parent asks for it
        self._reap()
        self.start()
        return True

    def restart_now(self) -> None:
        """End the process, frozen or not, and start it again.

        Raises:
            EnvironmentProblem: The program is missing or may not be run.
        """
        self.end()
        self.start()

    def end(self, seconds: float = 6.0) -> None:
        """End the process and everything it started: first asked, then killed."""
        if self.process is None:
            return
        # listed first: whoever the process started has no parent any more once it is gone
        family = self._family()
        for member in family[:1]:
            with contextlib.suppress(psutil.Error):
                # a process that was stopped (SIGSTOP) takes no notice of SIGTERM
                member.resume()
                member.terminate()
        _, stubborn = psutil.wait_procs(family[:1], timeout=seconds)
        rest = [member for member in {*family, *stubborn} if member.is_running()]
        for member in rest:
            with contextlib.suppress(psutil.Error):
                member.kill()
        psutil.wait_procs(rest, timeout=3)
        self._reap()

    def tail(self, lines: int = 5) -> str:
        """Return the last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _family(self) -> list[psutil.Process]:
        if self.process is None:
            return []
        try:
            return [self.process, *self.process.children(recursive=True)]
        except psutil.Error:
            return [self.process]

    def _reap(self) -> None:
        if self.process is not None:
            # not our child: an earlier supervisor started it
            with contextlib.suppress(ChildProcessError, OSError):
                os.waitpid(self.process.pid, os.WNOHANG)


class _Told:
    """How a process that left its parent says its number.

    Envoy asks the system for SIGTERM when its parent dies (PR_SET_PDEATHSIG, seen in 1.40.0), so
    that a supervisor's death would end the users' gateway. Its parent has ended here before it
    begins, so that its parent is the system's first process.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def step_aside(self) -> None:
        """In the new process, before the program: go on as a child of nobody of ours."""
        # What `_undisturbed` held back is held back here, too, and would be in the program.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        parent = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == parent:
            time.sleep(0.001)
        os.write(self._write, str(os.getpid()).encode())

    def pid(self) -> int:
        """Return the number; the program has begun by now, or could not.

        Raises:
            OSError: It ended before it could say it.
        """
        # our own end: with it open, one that says nothing would be waited for for ever
        self._close_writing()
        told = os.read(self._read, 20)
        if not told:
            raise OSError(errno.ESRCH, "it ended at once")
        return int(told)

    def close(self) -> None:
        """Close both ends."""
        os.close(self._read)
        self._close_writing()

    def _close_writing(self) -> None:
        if self._write >= 0:
            os.close(self._write)
            self._write = -1


_ENDING = {signal.SIGINT, signal.SIGTERM}


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold back the signals that end a supervisor while the block runs; they come after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_flow_runs(home: Path) -> None:
    """End processes of flow runs with this home that a worker started while it was being ended."""
    left = []
    for process in psutil.process_iter():
        # processes end, and others' may not be read, while the list is gone through
        with contextlib.suppress(psutil.Error):
            if "prefect.engine" not in process.cmdline():
                continue
            # only flow runs of this home: another migration may run on the same machine
            if process.environ().get(HOME_VARIABLE) == str(home):
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=3)
