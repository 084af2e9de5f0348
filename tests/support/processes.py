"""Real processes for tests: free ports, start, wait for a condition, end what was started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil

from changeover.errors import ChangeoverError

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run `work` in a thread while the block runs; it ends when the event is set."""
    done = threading.Event()
    thread = threading.Thread(target=work, args=(done,))
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def wait_for(condition: Callable[[], object], *, seconds: float = 20.0, what: str = "") -> object:
    """Return the condition's first true value; fail when it stays false for `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(httpx.HTTPError, OSError, ChangeoverError):
            if value := condition():
                return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what or condition} did not happen within {seconds} s")
        time.sleep(0.02)


@contextlib.contextmanager
def running(command: list[str], log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in its own group; end it and its children afterwards."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that `running` started, with its children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.wait(5)


@contextlib.contextmanager
def upstream(name: str, port: int, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start one small HTTP system and wait until it answers."""
    command = [sys.executable, "-m", "tests.support.upstream", name, str(port)]
    with running(command, directory / f"{name}.log") as process:
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/health").is_success, what=name)
        yield process
