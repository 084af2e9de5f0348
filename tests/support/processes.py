"""Real processes for tests: free ports, start, wait for a condition, end what was started."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from changeover.errors import ChangeoverError
from changeover.machine.ports import is_free
from changeover.site.home import Home
from changeover.supervisor.child import Child

ROOT = Path(__file__).parents[2]
PORTS = range(12_000, 31_000)
PATIENCE = 5.0
"""How much longer than a quiet machine needs a test waits before it gives up."""
LONGEST_PAUSE = 60.0
"""Seconds that a test waits for one answer, lock or end: a busy machine may pause any process."""


def free_port() -> int:
    """Return a free port that neither a connection nor another test will take.

    It lies below the ports that the system gives to connections, and every process that runs tests
    on this machine takes the next number of one shared counter.
    """
    path = Path(tempfile.gettempdir()) / f"changeover-test-ports-{os.getuid()}"
    with path.open("a+") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        counter.seek(0)
        last = int(counter.read() or random.choice(PORTS))
        for offset in range(1, len(PORTS)):
            port = PORTS[(last - PORTS[0] + offset) % len(PORTS)]
            if is_free("127.0.0.1", port):
                counter.truncate(0)
                counter.write(str(port))
                return port
    raise AssertionError(f"no port of {PORTS} is free")


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
    """Return the condition's first true value; fail when it stays false for too long.

    Args:
        condition: What is asked again and again; no answer of a server counts as false, and so does
            one that is no JSON ("Service Unavailable" of a server that is starting).
        seconds: What a quiet machine needs at most; a busy one gets `PATIENCE` times as much.
        what: What is waited for, as the failure tells it.
    """
    longest = seconds * PATIENCE
    began = time.monotonic()
    while True:
        with contextlib.suppress(httpx.HTTPError, OSError, ChangeoverError, json.JSONDecodeError):
            if value := condition():
                return value
        waited = time.monotonic() - began
        if waited > longest:
            raise AssertionError(f"{what or condition} did not happen within {longest:g} s")
        time.sleep(0.02 if waited < 1 else 0.2)  # looking costs the processor that is waited for


@contextlib.contextmanager
def running(
    command: list[str], log: Path, *, end_seconds: float = 5.0, **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in its own group; end it and its children afterwards.

    Args:
        command: Program and arguments.
        log: File that its output is appended to.
        end_seconds: How long it may take to end by itself, in seconds.
        env: Variables beside this process's own.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process, end_seconds)


def kill(process: subprocess.Popen[Any]) -> None:
    """End a process as a crash does, and wait until it is gone."""
    process.kill()
    process.wait(LONGEST_PAUSE)


def end_envoy(home: Home) -> None:
    """End the Envoy that a home names, if it runs still: it outlives whoever started it."""
    entry = home.process("envoy")
    left = Child("envoy", [], Path())
    if entry and left.adopt(entry["pid"], entry["created"]):
        left.end()


def end(process: subprocess.Popen[bytes], seconds: float = 5.0) -> None:
    """End a process that `running` started, with its children; kill it after some seconds."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True)]
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.wait(LONGEST_PAUSE)


@contextlib.contextmanager
def upstream(name: str, port: int, directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start one small HTTP system and wait until it answers."""
    command = [sys.executable, "-m", "tests.support.upstream", name, str(port)]
    with running(command, directory / f"{name}.log") as process:
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/health").is_success, what=name)
        yield process
