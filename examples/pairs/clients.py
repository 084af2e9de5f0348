"""Real clients that go on working while their system is moved, and what they noticed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST_SECONDS = 120
"""Longest wait for a program that a client runs."""


class NoticedError(Exception):
    """A client noticed something: an error, or other bytes than it should get."""


class Client(ABC):
    """One real client. It is used by one thread only, which calls its methods in their order."""

    name: str
    pause_seconds = 0.0
    """Between one act and the next."""
    remarks: Sequence[str] = ()
    """What its program did by itself so that its user noticed nothing, once for each time."""

    def begin(self) -> None:  # noqa: B027  most have nothing to begin with
        """Start what it needs."""

    @abstractmethod
    def act(self) -> int:
        """Do what its users do once; return how many requests or messages that were.

        Raises:
            NoticedError: Something was not as it should be.
        """

    def end(self) -> None:  # noqa: B027
        """End what was started."""


class Clients:
    """Clients that work side by side, each in a thread of its own.

    Args:
        clients: The clients.
        stats: File that is replaced with their figures after each act; `Demo` reads it.
    """

    def __init__(self, clients: Sequence[Client], stats: Path) -> None:
        self.clients = clients
        self.acts: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.noticed: list[str] = []
        self._stats = stats
        self._over = threading.Event()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Have them work until the block ends; each then finishes what it is doing."""
        with ThreadPoolExecutor(len(self.clients)) as pool:
            threads: list[Future[None]] = [pool.submit(self._work, each) for each in self.clients]
            try:
                yield
            finally:
                self._over.set()
        for thread in threads:
            thread.result()

    def _work(self, client: Client) -> None:
        try:
            client.begin()
            while not self._over.is_set():
                self._act(client)
                self._over.wait(client.pause_seconds)
        except Exception as error:
            # known at once, not when everything is over
            self._count(client.name, 0, f"{type(error).__name__}: {error}")
            raise
        finally:
            client.end()

    def _act(self, client: Client) -> None:
        try:
            number, problem = client.act(), None
        except (NoticedError, subprocess.SubprocessError) as error:
            number, problem = 1, str(error)
        self._count(client.name, number, problem)

    def _count(self, name: str, number: int, problem: str | None) -> None:
        with self._lock:
            self.acts[name] += 1
            self.requests[name] += number
            if problem is not None:
                self.noticed.append(f"{name}: {problem}")
            figures = {"answered": self.requests.total(), "failed_acts": len(self.noticed)}
            new = self._stats.with_suffix(".new")
            new.write_text(json.dumps(figures))
            new.replace(self._stats)


@dataclass(frozen=True)
class Answer:
    """What `curl` got: the last status, its headers in lower case, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def curl(url: str, *options: str, user: str) -> Answer:
    """Run `curl` as a user of that key.

    Raises:
        NoticedError: It failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        head, body = Path(folder) / "head", Path(folder) / "body"
        ended = run([
            "curl", "--silent", "--show-error", "--path-as-is", "--max-time", "60",
            "--header", f"x-user-id: {user}", "--dump-header", str(head), "--output", str(body),
            *options, url])
        if ended.returncode:
            raise NoticedError(f"curl {' '.join(options)} {url}: {ended.stderr.strip()}")
        # interim answers and redirects come before: the last head counts
        last = head.read_bytes().decode("latin-1").strip().split("\r\n\r\n")[-1].split("\r\n")
        pairs = (line.partition(":") for line in last[1:])
        return Answer(int(last[0].split()[1]), {a.lower(): b.strip() for a, _, b in pairs},
                      body.read_bytes() if body.exists() else b"")


def run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; it is the caller's business how it ended."""
    return subprocess.run(command, capture_output=True, text=True, check=False,
                          timeout=LONGEST_SECONDS, **options)


def require(is_so: bool, problem: str) -> None:
    """Have a client notice a problem unless something is so.

    Raises:
        NoticedError: It is not.
    """
    if not is_so:
        raise NoticedError(problem)


class Script(Client):
    """A client library in a virtual environment of its own, used by a script.

    The script prints one line for each thing that it did: `ok NUMBER` with how many requests that
    were, or `noticed TEXT`; before it `remark TEXT` for what becomes one of its `remarks`. It ends
    when its standard input does.

    Args:
        name: What the figures call it.
        command: Program and arguments.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name, self._command = name, command
        self.remarks: list[str] = []
        self._process: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Start the script."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def act(self) -> int:
        """Wait for the next line of the script."""
        assert self._process is not None and self._process.stdout is not None  # noqa: S101
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait(10)}")
        word, _, rest = line.strip().partition(" ")
        if word == "remark":
            self.remarks.append(rest)
            return self.act()
        require(word == "ok", rest or line)
        return int(rest)

    def end(self) -> None:
        """End the script."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(LONGEST_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
