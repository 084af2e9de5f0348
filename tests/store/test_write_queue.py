"""Writers of one database: in turn, told who is before them, and never held up by the dead."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from changeover import clock
from changeover.domain.audit import NewEvent
from changeover.errors import StoreBusy, StoreError, StoreLocked
from changeover.store import audit, heartbeats, samples, turns, write_queue
from changeover.store.engine import Store
from changeover.store.write_queue import first_in_line
from tests.support.processes import LONGEST_PAUSE, ROOT, wait_for

pytestmark = pytest.mark.integration

WRITERS, EACH = 6, 40


def writer(url: str, wanted: str) -> subprocess.Popen[bytes]:
    """Start a process that writes."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.store_writer", url, wanted], cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@contextlib.contextmanager
def held(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process hold the write lock."""
    process = writer(url, "hold")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.communicate(b"\n", timeout=LONGEST_PAUSE)


@contextlib.contextmanager
def outsider(file: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have a program that is none of ours hold SQLite's write lock."""
    script = ("import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
              "c.execute('BEGIN IMMEDIATE'); sys.stdout.write('held\\n'); sys.stdout.flush(); "
              "sys.stdin.readline()")
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.communicate(b"\n", timeout=LONGEST_PAUSE)


@pytest.fixture
def file(sqlite_template: Path, tmp_path: Path) -> Path:
    """A SQLite file with the tables of a store."""
    path = tmp_path / "store.db"
    path.write_bytes(sqlite_template.read_bytes())
    return path


@pytest.fixture
def opened(file: Path) -> Iterator[Callable[..., Store]]:
    """Return a function that opens the file once more."""
    with contextlib.ExitStack() as stack:
        def open_it(timeout: float = LONGEST_PAUSE) -> Store:
            store = Store.open(f"sqlite:///{file}", timeout=timeout)
            stack.callback(store.close)
            return store

        yield open_it


def waiting(file: Path) -> int:
    """Return how many locks on the line there are: one of the holder and of each waiter."""
    inode = str(Path(f"{file}-queue").stat().st_ino)
    return sum("OFDLCK" in line and f":{inode} " in line
               for line in Path("/proc/locks").read_text().splitlines())


def test_many_processes_write_at_once_and_all_of_it_is_there(store: Store, store_url: str) -> None:
    """None is refused, none gives up, and the chain holds every event."""
    processes = [writer(store_url, str(EACH)) for _ in range(WRITERS)]
    assert [process.wait(600) for process in processes] == [0] * WRITERS
    written = [event for event in audit.events(store, "shop") if event.kind == "test.written"]
    assert len(written) == WRITERS * EACH
    assert audit.verify(store, "shop") == []


def test_writers_go_in_the_order_in_which_they_came_and_the_urgent_first(
    file: Path, opened: Callable[..., Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollback passes everyone who waits; the others keep their places."""
    # a busy machine has any of them stand still for longer than the others wait for it
    monkeypatch.setattr(write_queue, "_STANDS_STILL_SECONDS", LONGEST_PAUSE)
    store, order = opened(), []

    def write(name: str) -> None:
        with contextlib.ExitStack() as stack:
            if name == "rollback":
                stack.enter_context(first_in_line())
            stack.enter_context(store.begin())
            order.append(name)

    names = ["first", "second", "third", "rollback"]
    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    with store.begin():
        for number, thread in enumerate(threads):
            thread.start()
            wait_for(lambda number=number: waiting(file) == number + 2, what="a place in the line")
    for thread in threads:
        thread.join(LONGEST_PAUSE)
    assert order == ["rollback", "first", "second", "third"]


def test_a_killed_writer_lets_go(file: Path, opened: Callable[..., Store]) -> None:
    """kill -9 in the midst of a transaction: the next one has its turn."""
    store = opened()
    with held(f"sqlite:///{file}") as process:
        process.kill()
        heartbeats.beat(store, "observer", pid=1, now=clock.now())
    assert [one.service for one in heartbeats.every(store)] == ["observer"]


def test_a_waiter_that_stands_still_holds_up_nobody(
    file: Path, opened: Callable[..., Store]
) -> None:
    """Whoever is first in line and does not run is passed by."""
    store = opened()
    with store.begin():
        frozen = writer(f"sqlite:///{file}", "1")
        wait_for(lambda: waiting(file) == 2, what="a place in the line")
        frozen.send_signal(signal.SIGSTOP)
    try:
        heartbeats.beat(store, "observer", pid=1, now=clock.now())
    finally:
        frozen.send_signal(signal.SIGCONT)
        frozen.communicate(timeout=LONGEST_PAUSE)
    assert heartbeats.every(store)[0].service in ("observer", "test")


def test_the_message_names_the_process_and_what_it_does(
    file: Path, opened: Callable[..., Store]
) -> None:
    """Its role, its number, its operation and since when; nobody has to run a tool."""
    store = opened(timeout=0.05)
    with held(f"sqlite:///{file}") as process, pytest.raises(StoreLocked) as error:
        heartbeats.beat(store, "observer", pid=1, now=clock.now())
    told = str(error.value)
    assert f"stayed locked by tests.support.store_writer (process {process.pid}): " in told
    assert "main, for " in told
    assert " ms" in told
    assert "fuser" not in told


def test_the_message_names_a_program_that_knows_no_line(
    file: Path, opened: Callable[..., Store]
) -> None:
    """Somebody's own session with the file is found by SQLite's lock."""
    store = opened(timeout=0.05)
    with outsider(file) as process, pytest.raises(
            StoreLocked, match=rf"\(process {process.pid}\), which is no part of"):
        heartbeats.beat(store, "observer", pid=1, now=clock.now())


def test_postgres_names_who_is_before(request: pytest.FixtureRequest, database: str) -> None:
    """The session's name says which process it is."""
    if database == "sqlite":
        return  # has its own tests above
    url = request.getfixturevalue("store_url")
    request.getfixturevalue("store")
    holder, waits = Store.open(url), Store.open(url, timeout=0.1)
    try:
        with holder.begin() as session:
            audit.lock(session, "shop")
            with pytest.raises(StoreLocked, match=rf"process {os.getpid()}\) \(session \d+\)"):
                audit.record(waits, "shop", NewEvent(actor="t", kind="k", at=clock.now(), data={}))
    finally:
        holder.close()
        waits.close()


ASKED = {"sqlite": ("PRAGMA synchronous", [2, 1, 2]),
         "postgresql": ("SHOW synchronous_commit", ["on", "off", "on"])}


def test_decisions_are_on_the_disk_and_measurements_need_not_be(store: Store) -> None:
    """Whoever says nothing waits for the disk; each transaction has its own level."""
    question, wanted = ASKED[store.engine.dialect.name]
    levels = []
    for is_durable in (True, False, True):
        with store.begin(is_durable=is_durable) as session:
            levels.append(session.scalar(text(question)))
    assert levels == wanted


def test_a_slow_transaction_is_logged_once_by_kind(
    opened: Callable[..., Store], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the process and what it did; the same again is no news."""
    monkeypatch.setattr(turns, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(turns, "_logged", {"heartbeats.beat": 0.0, "samples.write": 1e9})
    caplog.set_level(logging.INFO, logger="changeover.store")
    store = opened()
    heartbeats.beat(store, "observer", pid=1, now=clock.now())
    (line,) = [record.getMessage() for record in caplog.records]
    assert f"(process {os.getpid()}) wrote to the store for" in line
    assert "in heartbeats.beat" in line
    monkeypatch.setattr(turns, "_logged", {"heartbeats.beat": 1e9})
    heartbeats.beat(store, "observer", pid=1, now=clock.now())
    assert len(caplog.records) == 1


def test_the_log_is_copied_into_the_database_by_whoever_is_asked(
    file: Path, opened: Callable[..., Store]
) -> None:
    """Writers leave it to the observer; a reader keeps what it reads, and nobody waits for it."""
    store = opened()
    before = file.read_bytes()
    heartbeats.beat(store, "observer", pid=1, now=clock.now())
    assert file.read_bytes() == before
    with store.read() as session:
        assert samples.summed_up_until(session, "shop") == 0  # reads this moment's state
        heartbeats.beat(store, "observer", pid=2, now=clock.now())
        assert store.checkpoint() > 0
    assert store.checkpoint() == 0
    assert file.read_bytes() != before


def test_a_database_that_was_taken_away_is_not_merely_busy(
    file: Path, opened: Callable[..., Store]
) -> None:
    """Written on, it would be written to nowhere; this is what glass is broken for."""
    store = opened()
    file.rename(file.with_name("away.db"))
    with pytest.raises(StoreError, match="is not there") as error:
        heartbeats.beat(store, "observer", pid=1, now=clock.now())
    assert not isinstance(error.value, StoreBusy)
