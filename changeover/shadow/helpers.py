"""The processes that compare, seen from the one that reads the tap.

The tap has one reader: it decides what is copied, keeps the queue and the candidate's limit, counts
and saves. What costs most, the copy and the comparison, is done by several processes beside it.

1. Each gets exchanges over a pair of sockets, the one with the least work first, and sends back
   what it found, or why there is nothing to compare.
2. One that ends, killed at any line, takes with it what it was at work on: the reader knows which
   exchanges these are, counts each as dropped, and starts another one.
3. One that stands still is ended by the reader and counts in the same way.
4. When the reader ends, also when it is killed, they find the end of their sockets, and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from socket import socketpair
from typing import Any

from changeover.domain.comparisons import Compared
from changeover.domain.crew import Crew
from changeover.domain.routing import System
from changeover.plan.model import Plan
from changeover.shadow.comparing import Work, most_at_once
from changeover.shadow.pipes import Pipe
from changeover.shadow.tap import Exchange

LOG = logging.getLogger("changeover.shadow")

COMMAND = (sys.executable, "-m", "changeover.shadow.comparer")
LOOK_SECONDS = 1.0
"""How often they are looked after, and so the least time between two starts of one."""
MOST_SILENT = 60
"""Looks, at one a second, in which one that is at work says nothing: then it is ended. By looks,
not by the clock: when the machine lets this process wait, it lets those wait as well."""
ENDED = "dropped: comparing process ended"
END_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """An exchange that is to be compared, and what the answer to it is called."""

    number: int
    exchange: Exchange
    saves_answers: bool


@dataclass(frozen=True, slots=True)
class Paused:
    """No copy may be sent any more because of `why`; empty: they may again."""

    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """The comparison of an exchange, or why there is none."""

    number: int
    found: Compared | str


ALIVE = "alive"
"""What a process says when it can begin, and each second after that."""


def wanted(plan: Plan, cores: int) -> int:
    """Return how many processes compare: as the plan says, each with a call of its own to make.

    Args:
        plan: The plan, with its `shadow` part.
        cores: Processors that this machine has for us.
    """
    asked = Work(plan).spec.processes or 1
    # one core is the reader's
    number = max(1, cores - 1) if asked == "auto" else asked
    return min(number, *(most_at_once(plan, system) for system in System))


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Helpers:
    """Several processes that compare.

    Args:
        work: What each of them has to know.
        starts: The command that starts one.
    """

    def __init__(self, work: Work, starts: tuple[str, ...] = COMMAND) -> None:
        self._some_ready = asyncio.Event()
        self._paused = ""
        self._all = [_Helper(work, starts, self._note, lambda: self._paused)
                     for _ in range(work.among)]

    @property
    def text(self) -> str:
        """How many compare now, of how many."""
        ready = sum(one.is_ready for one in self._all)
        return Crew(ready, len(self._all)).text

    @property
    def pids(self) -> list[int]:
        """Their process ids, of those that run."""
        return [one.process.pid for one in self._all if one.process is not None]

    def pause(self, why: str) -> None:
        """Send no copy any more, from now on, because of `why`; empty: send them again."""
        if why != self._paused:
            self._paused = why
            for one in self._all:
                one.tell()

    async def compare(self, exchange: Exchange, *, saves_answers: bool) -> Compared | str:
        """Have an exchange compared by the process with the least work."""
        while not self._paused:
            ready = [one for one in self._all if one.is_ready]
            if ready:
                return await min(ready, key=lambda one: len(one.waiting)).compare(
                    exchange, saves_answers)
            # all are starting; it may have to wait for longer than copies are wanted
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._some_ready.wait(), LOOK_SECONDS)
        return self._paused

    async def run(self) -> None:
        """Start them, and start again whatever ends, until cancelled."""
        while True:
            for one in self._all:
                # one that cannot be started must not keep the others from it
                try:
                    await one.look()
                except OSError as error:
                    LOG.error("a process that compares cannot be started: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def close(self) -> None:
        """End them."""
        for one in self._all:
            one.pipe.close()
        deadline = time.monotonic() + END_SECONDS
        for one in self._all:
            await one.end(deadline)

    def _note(self) -> None:
        if any(one.is_ready for one in self._all):
            self._some_ready.set()
        else:
            self._some_ready.clear()


class _Helper:
    """One process that compares."""

    def __init__(
        self, work: Work, starts: tuple[str, ...], changed: Callable[[], None],
        paused: Callable[[], str],
    ) -> None:
        self._work, self._starts, self._changed, self._paused = work, starts, changed, paused
        self.process: subprocess.Popen[bytes] | None = None
        self.pipe = Pipe(lambda message: None, lambda: None)
        self.is_ready = self._has_work = False
        self._reasons: set[str] = set()
        self.waiting: dict[int, asyncio.Future[Compared | str]] = {}
        self._number = self._silent = 0

    async def compare(self, exchange: Exchange, saves_answers: bool) -> Compared | str:
        """Return what the process found, or that it ended."""
        self._number += 1
        number = self._number
        answer: asyncio.Future[Compared | str] = asyncio.get_running_loop().create_future()
        self.waiting[number] = answer
        try:
            self.pipe.send(Asked(number, exchange, saves_answers))
            return await answer
        finally:
            self.waiting.pop(number, None)

    def tell(self) -> None:
        """Say whether copies may be sent now; one that begins is told after its work."""
        if self._has_work:
            why = self._paused()
            self._reasons.add(why)
            self.pipe.send(Paused(why))

    async def look(self) -> None:
        """Start the process unless it runs; end it when it says nothing for long."""
        if self.process is not None and self.process.poll() is None:
            self._silent += 1
            if self._silent > MOST_SILENT:
                LOG.error("a process that compares says nothing, and is ended")
                self.process.kill()
            return
        if self.process is not None:
            LOG.error("a process that compares ended (%s), and is started again",
                      self.process.returncode)
        # the end of its socket may not have been read yet
        self._lose(self.pipe)
        await self._start()

    async def _start(self) -> None:
        self._has_work = False
        ours, its = socketpair()
        try:
            # what it has to say goes where our own log goes; its input is its end of the pair
            self.process = subprocess.Popen(self._starts, stdin=its.fileno())
        except OSError:
            ours.close()
            raise
        finally:
            its.close()
        # of its own: the one before may have its end still to tell
        self.pipe = pipe = Pipe(lambda said: self._take(pipe, said), lambda: self._lose(pipe))
        self._silent = 0
        await pipe.open(ours)
        pipe.send(self._work)
        self._has_work = True
        # as it is now: it may have changed since the process was started
        self.tell()

    async def end(self, deadline: float) -> None:
        """Wait until it has ended, and kill it when it does not."""
        while self.process is not None and self.process.poll() is None:
            if time.monotonic() > deadline:
                self.process.kill()
            await asyncio.sleep(0.02)

    def _take(self, pipe: Pipe, said: Any) -> None:
        if pipe is not self.pipe:
            return
        self._silent = 0
        if isinstance(said, Found):
            answer = self.waiting.get(said.number)
            if answer is not None and not answer.done():
                answer.set_result(said.found)
            # it answers at once, and so would get nearly everything
            is_paused = isinstance(said.found, str) and said.found in self._reasons
            if is_paused and not self._paused():
                self.tell()
        elif not self.is_ready:
            self.is_ready = True
            self._changed()

    def _lose(self, pipe: Pipe) -> None:
        """Count what it was at work on: it is gone."""
        if pipe is not self.pipe:
            return
        self.is_ready = False
        self._changed()
        for answer in self.waiting.values():
            if not answer.done():
                answer.set_result(ENDED)
