"""Closed-loop load from real connections, counting what users saw."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from changeover.analysis.window import ErrorClass
from changeover.domain.routing import System
from changeover.gateway.accesslog import Entry, Outcome, classify
from changeover.gateway.tailer import Tailer
from changeover.plan.model import Plan
from tests.integration.conftest import Bench
from tests.support.processes import LONGEST_PAUSE, wait_for

CLIENTS = 6
BREATH = 0.01
"""Seconds between a client's requests: load takes no processor from what it looks at."""


class Answer(NamedTuple):
    """What a user got, with the times (`time.monotonic`) at which they asked and had it."""

    began: float
    at: float
    status: int
    """0 when no answer came."""
    served: str


@dataclass
class Load:
    """Answers as users saw them."""

    answers: list[Answer] = field(default_factory=list)
    items: list[tuple[str, int]] = field(default_factory=list)

    @property
    def failed(self) -> list[Answer]:
        """Answers that were not 2xx."""
        return [answer for answer in self.answers if not 200 <= answer.status < 300]

    def served_by(self, system: str) -> int:
        """Return how many requests a system answered."""
        return sum(answer.served == system for answer in self.answers)

    def serving_since(self, moment: float) -> set[str]:
        """Return who answered what users asked after a moment."""
        return {answer.served for answer in self.answers if answer.began > moment}

    def goes_on(self, requests: int = 300) -> None:
        """Wait until so many more requests were answered."""
        goal = len(self.answers) + requests
        wait_for(lambda: len(self.answers) >= goal, what=f"{requests} more answers")


@contextlib.contextmanager
def load(plan: Plan, method: str = "GET") -> Iterator[Load]:
    """Keep sending requests of many users until the block ends."""
    found, stop = Load(), threading.Event()
    threads = [
        threading.Thread(target=_client, args=(plan, method, number, found, stop))
        for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _client(plan: Plan, method: str, number: int, found: Load, stop: threading.Event) -> None:
    host, port = plan.routing.listen.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=2 * LONGEST_PAUSE)
    count = 0
    while not stop.wait(BREATH):
        count += 1
        item = uuid.uuid4().hex
        began, status, served = time.monotonic(), 0, ""
        try:
            connection.request(
                method, "/", body=b"x" if method == "POST" else None,
                headers={"x-user-id": f"user-{number}-{count % 50}", "x-item": item},
            )
            response = connection.getresponse()
            body, status = response.read(), response.status
            served = json.loads(body).get("served_by", "") if status == 200 else ""
        except (OSError, http.client.HTTPException):
            connection.close()
        found.answers.append(Answer(began, time.monotonic(), status, served))
        found.items.append((item, status))
    connection.close()


class Log:
    """The access log of a bench, read as the observer reads it."""

    def __init__(self, bench: Bench) -> None:
        self._tailer = Tailer(bench.gateway.files.access_log, {})
        self.entries: list[Entry] = []

    def entry(self, key: str) -> Entry:
        """Return the request of one user, waiting until Envoy has written it."""
        return self.all_of(key, 1)[0]

    def all_of(self, key: str, count: int) -> list[Entry]:
        """Return the requests of one user, waiting until there are `count`."""

        def found() -> list[Entry]:
            self.entries += self._tailer.read()
            matching = [entry for entry in self.entries if entry.key == key]
            return matching if len(matching) >= count else []

        entries = wait_for(found, what=f"{count} log lines of {key}")
        assert isinstance(entries, list)
        return entries

    def outcome(self, key: str) -> Outcome | None:
        """Return how one user's request is judged, whatever stands in the answer's body."""
        found = classify(self.entry(key))
        return found and replace(found, is_answer=False)


def outcome(system: System, error: ErrorClass | None, *, is_user_error: bool) -> Outcome:
    """Return the outcome of a request that no client spoiled."""
    return Outcome(system, error, is_user_error, False)
