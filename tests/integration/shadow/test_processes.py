"""Several processes compare what one tap brings; one may be killed, and nothing goes silently."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from changeover import clock
from changeover.domain.comparisons import Compared
from changeover.domain.routing import Mode
from changeover.plan.model import Plan
from changeover.shadow import helpers
from changeover.shadow.comparer import Comparer
from changeover.shadow.comparing import Comparing, Work
from changeover.shadow.helpers import ENDED, Helpers, wanted
from changeover.shadow.pipes import Pipe
from changeover.shadow.service import Shadow
from changeover.shadow.tap import Exchange
from changeover.store import divergences, heartbeats, plans
from changeover.store.engine import Store
from tests.integration.shadow.test_working import (
    EXCHANGE,
    System,
    counts,
    move,
    plan_of,
    shadowing,
    system,
    until,
)
from tests.support.processes import running, wait_for
from tests.support.ready_store import ready_store

pytestmark = [pytest.mark.integration, pytest.mark.anyio]
BUSY = "dropped: host busy"


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio."""
    return "asyncio"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in shadow mode, with everything sampled."""
    opened = ready_store(f"sqlite:///{tmp_path}/store.db")
    plans.register(opened, plan_of("http://127.0.0.1:1"), source="test", now=clock.now())
    move(opened, mode=Mode.SHADOW, shadow_sample=10_000)
    yield opened
    opened.close()


def plan_by(url: str, processes: Any, **fields: Any) -> Plan:
    """Return a plan that has so many processes compare."""
    plan = plan_of(url)
    assert plan.shadow is not None
    return plan.model_copy(update={"shadow": plan.shadow.model_copy(
        update={"processes": processes, **fields})})


@asynccontextmanager
async def compared_by(
    number: int, store: Store, home: Path, **fields: Any
) -> AsyncIterator[tuple[Shadow, Helpers, System]]:
    """Run the service with so many processes that are ready, and a candidate."""
    async with (
        system() as candidate,
        shadowing(plan_by(candidate.url, number, **fields), store, home) as shadow,
    ):
        crew = shadow._comparing
        assert isinstance(crew, Helpers)
        await until(lambda: crew.text == f"{number} of {number} processes compare")
        yield shadow, crew, candidate


@asynccontextmanager
async def working(crew: Helpers, candidate: System) -> AsyncIterator[None]:
    """Run processes until they are ready, and a candidate that answers."""
    candidate.may_answer.set()
    run = asyncio.create_task(crew.run())
    await until(lambda: crew.text == "2 of 2 processes compare")
    yield
    run.cancel()
    await crew.close()


def sent_to(crew: Helpers) -> list[int]:
    """Return how many exchanges each process is at work on."""
    return [len(each.waiting) for each in crew._all]


@pytest.mark.parametrize(("asked", "limits", "number"), [
    (None, {}, 1), (1, {}, 1), (3, {}, 3), ("auto", {}, 3), (16, {}, 8),
    (4, {"concurrency": 2}, 2), (4, {"concurrency": 1}, 1),
], ids=["default", "one", "three", "auto", "copies at once", "two calls", "one call"])
def test_no_more_processes_than_calls_at_once(
    asked: Any, limits: dict[str, int], number: int
) -> None:
    """A process without a call to make would only cost memory; `auto` leaves the reader a core."""
    plan = plan_by("http://127.0.0.1:1", asked)
    systems = {name: plan.system(name).model_copy(update=limits)
               for name in ("baseline", "candidate")}
    plan = plan.model_copy(update={"systems": plan.systems.model_copy(update=systems)})
    assert wanted(plan, cores=4) == number


async def test_all_of_them_share_the_work_and_one_knows_the_sums(
    store: Store, tmp_path: Path
) -> None:
    """Each exchange is compared once, in whichever process, and counts as with one process."""
    async with compared_by(2, store, tmp_path) as (shadow, crew, candidate):
        for number in range(8):
            shadow.offer(replace(EXCHANGE, path=f"/{number}"))
        await until(lambda: len(candidate.asked) == 8)
        assert sent_to(crew) == [4, 4]
        candidate.may_answer.set()
        await until(lambda: counts(store).get("compared") == 8)
        assert sorted(candidate.asked) == [f"GET /{number}" for number in range(8)]
    assert counts(store) == {"compared": 8}
    (place,) = divergences.places(store, "shop")
    assert (place.field, place.diverged, len(place.examples)) == ("$.a", 8, 3)


async def test_one_that_is_killed_is_counted_and_started_again(
    store: Store, tmp_path: Path
) -> None:
    """What it was at work on is dropped by name; the others' work and all that follows is there."""
    async with compared_by(2, store, tmp_path) as (shadow, crew, candidate):
        for _ in range(8):
            shadow.offer(EXCHANGE)
        await until(lambda: len(candidate.asked) == 8)
        first = crew.pids[0]
        os.kill(first, signal.SIGKILL)
        await until(lambda: shadow.counts[ENDED] == 4 or counts(store).get(ENDED) == 4)
        candidate.may_answer.set()
        await until(lambda: counts(store).get("compared") == 4)
        await until(lambda: crew.text == "2 of 2 processes compare")
        assert first not in crew.pids
        for _ in range(8):
            shadow.offer(EXCHANGE)
        await until(lambda: counts(store).get("compared") == 12)
    assert counts(store)[ENDED] == 4


async def test_one_that_stands_still_is_ended(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps its exchanges for as long as it may be late, and no longer."""
    async with compared_by(2, store, tmp_path) as (shadow, crew, candidate):
        candidate.may_answer.set()
        still = crew.pids[0]
        os.kill(still, signal.SIGSTOP)
        for _ in range(8):
            shadow.offer(EXCHANGE)
        await until(lambda: sent_to(crew)[0] > 0 and not sent_to(crew)[1])
        monkeypatch.setattr(helpers, "MOST_SILENT", 2)
        await until(lambda: not psutil.pid_exists(still) or still not in crew.pids)
        monkeypatch.undo()
        await until(lambda: sum(counts(store).get(name, 0) for name in ("compared", ENDED)) == 8)
        await until(lambda: crew.text == "2 of 2 processes compare")
        assert counts(store)[ENDED] > 0


async def test_all_stop_sending_after_a_rollback(store: Store, tmp_path: Path) -> None:
    """Calls under way end; what waits in the queue is sent by none of them."""
    async with compared_by(2, store, tmp_path) as (shadow, _, candidate):
        for _ in range(20):
            shadow.offer(EXCHANGE)
        await until(lambda: len(candidate.asked) == 8)
        move(store, mode=Mode.EMERGENCY_ROLLBACK)
        await until(lambda: shadow.state is not None
                    and shadow.state.mode is Mode.EMERGENCY_ROLLBACK)
        candidate.may_answer.set()
        await until(lambda: counts(store).get("compared") == 8)
        await until(lambda: counts(store).get("dropped: not shadowing") == 12)
        assert len(candidate.asked) == 8


async def test_one_that_begins_is_told_what_holds_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when copies stop between its start and its first message, and may be sent again."""
    opened, starts, crews = Pipe.open, [], []

    async def opening(pipe: Pipe, end: socket.socket) -> None:
        await opened(pipe, end)
        starts.append(pipe)
        crews[0].pause(BUSY)

    monkeypatch.setattr(Pipe, "open", opening)
    async with system() as candidate:
        crew = Helpers(Work(plan_by(candidate.url, 2), among=2))
        crews.append(crew)
        async with working(crew, candidate):
            assert await crew.compare(EXCHANGE, saves_answers=False) == BUSY
            crew.pause("")
            for _ in range(4):
                assert isinstance(await crew.compare(EXCHANGE, saves_answers=False), Compared)
    assert len(starts) == 2


async def test_one_that_does_not_know_that_copies_may_be_sent_is_told_again() -> None:
    """It answers at once, so that it would get nearly all exchanges, and drop them."""
    async with system() as candidate:
        crew = Helpers(Work(plan_by(candidate.url, 2), among=2))
        async with working(crew, candidate):
            crew.pause(BUSY)
            crew.pause("")
            for one in crew._all:
                one.pipe.send(helpers.Paused(BUSY))
            found = [await crew.compare(EXCHANGE, saves_answers=False) for _ in range(6)]
        assert BUSY in found
        assert all(isinstance(each, Compared) for each in found[2:])


async def test_an_answer_that_cannot_be_sent_has_an_outcome(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader would wait for it for ever."""

    async def unsendable(self: Comparing, exchange: Exchange, *, saves_answers: bool) -> Any:
        return lambda: None

    monkeypatch.setattr(Comparing, "compare", unsendable)
    said: list[Any] = []
    pipe = Pipe(said.append, lambda: None)
    ours, its = socket.socketpair()
    await pipe.open(ours)
    work = asyncio.create_task(Comparer().run(its))
    pipe.send(Work(plan_by("http://127.0.0.1:1", 1)))
    pipe.send(helpers.Asked(1, EXCHANGE, False))
    await until(lambda: helpers.Found(1, "dropped: not comparable") in said)
    pipe.close()
    await work


async def test_the_limit_of_a_system_holds_for_all_of_them(store: Store, tmp_path: Path) -> None:
    """Two copies at once are two, whichever processes send them."""
    async with compared_by(2, store, tmp_path, concurrency=2) as (shadow, _, candidate):
        for _ in range(10):
            shadow.offer(EXCHANGE)
        await until(lambda: len(candidate.asked) == 2)
        candidate.may_answer.set()
        await until(lambda: counts(store).get("compared") == 10)


async def test_what_is_under_way_for_too_long_when_it_ends_is_counted(
    store: Store, tmp_path: Path
) -> None:
    """No process is left, and every exchange has an outcome."""
    async with compared_by(2, store, tmp_path) as (shadow, crew, candidate):
        for _ in range(20):
            shadow.offer(EXCHANGE)
        await until(lambda: len(candidate.asked) == 8)
        left = crew.pids
    assert counts(store) == {"dropped: stopped": 20}
    assert not [pid for pid in left if psutil.pid_exists(pid)]


async def test_the_sign_of_life_says_how_many_compare(store: Store, tmp_path: Path) -> None:
    """One that is missing is seen by people."""

    def detail() -> str:
        return next((beat.detail for beat in heartbeats.of(store, "shop")), "")

    async with compared_by(2, store, tmp_path) as (shadow, _, _):
        await shadow._beat()
        assert detail() == "2 of 2 processes compare"


def test_they_end_with_a_reader_that_is_killed(tmp_path: Path) -> None:
    """Nothing is left running."""
    script = (
        "import asyncio, sys\n"
        "from changeover.shadow.comparing import Work\n"
        "from changeover.shadow.helpers import Helpers\n"
        "from tests.integration.shadow.test_processes import plan_by\n"
        "async def main():\n"
        "    crew = Helpers(Work(plan_by('http://127.0.0.1:1', 2), among=2))\n"
        "    asyncio.get_running_loop().call_later(600, sys.exit)\n"
        "    await crew.run()\n"
        "asyncio.run(main())\n")
    with running([sys.executable, "-c", script], tmp_path / "log") as reader:
        children: list[psutil.Process] = []

        def has_two() -> bool:
            children[:] = psutil.Process(reader.pid).children()
            return len(children) == 2

        wait_for(has_two, what="two processes")
        reader.kill()
        reader.wait()
        wait_for(lambda: not any(map(_lives, children)), what="their end")


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
