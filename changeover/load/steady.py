"""A steady load: requests leave at their time, and none is sent to a system that is stuck."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from changeover.checks.suites.load import LONGEST_ANSWER, is_failure
from changeover.checks.suites.way import Failed, Session, Way
from changeover.load.wanted import Load
from changeover.plan.load_requests import Asked

MOST_UNDER_WAY = 100
"""Requests without an answer; while there are so many, no further one is sent."""
LATE_SECONDS = 1.0
"""What should have left before is left out: after a pause there is no burst."""
USERS = 100
"""Keys that the requests have, so that the gateway splits them as it splits users."""


@dataclass
class Counts:
    """What came of a load: requests sent, of them failed, and left out."""

    sent: int = 0
    failed: int = 0
    left_out: int = 0

    @property
    def text(self) -> str:
        """The same in one phrase."""
        return f"{self.sent} sent, {self.failed} failed, {self.left_out} left out"


@dataclass
class Steady:
    """Sends one load until it is cancelled.

    Args:
        load: What is wanted.
        way: How the host is reached that is asked.
        headers: Sent with each request.
        carrying: Returns the headers by which the gateway finds a user's key.
    """

    load: Load
    way: Way
    headers: Mapping[str, str]
    carrying: Callable[[str], Mapping[str, str]]
    counts: Counts = field(default_factory=Counts)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Send requests at the load's rate; cancelled, it leaves none under way."""
        pause = 1 / self.load.spec.rate
        requests = itertools.cycle(self.load.asked)
        users = itertools.cycle(range(USERS))
        due = time.monotonic()
        async with self.way.session(LONGEST_ANSWER) as session:
            try:
                for asked, user in zip(requests, users, strict=False):
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    # not awaited: a slow answer must not slow down what follows
                    self._send(session, asked, f"synthetic-{user}")
                    due = max(due + pause, time.monotonic() - LATE_SECONDS)
            finally:
                await self._end()

    def _send(self, session: Session, asked: Asked, key: str) -> None:
        # a system that is stuck gets no more: this load must not be what breaks it
        if len(self._under_way) >= MOST_UNDER_WAY:
            self.counts.left_out += 1
            return
        self.counts.sent += 1
        task = asyncio.create_task(self._ask(session, asked, key))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _ask(self, session: Session, asked: Asked, key: str) -> None:
        try:
            headers = {**self.headers, **self.carrying(key)}
            status = await session.ask(asked, headers)
            self.counts.failed += is_failure(status)
        except Failed:
            self.counts.failed += 1

    async def _end(self) -> None:
        left = list(self._under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
