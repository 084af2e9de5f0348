"""The process that writes for the shadow service: never given way, never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from changeover import clock
from changeover.errors import StoreError
from changeover.shadow.writing import WriterProcess
from changeover.site.home import Home
from changeover.store import heartbeats
from changeover.store.engine import Store
from tests.support.processes import LONGEST_PAUSE, ROOT, wait_for
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a store."""
    found = Home(tmp_path / "home")
    found.create()
    ready_store(found.store_url).close()
    return found


@pytest.fixture
def writer(home: Home) -> Iterator[WriterProcess]:
    """A running writer."""
    found = WriterProcess(home)
    yield found
    if not found.has_ended:
        found.close()


def test_what_is_handed_over_is_in_the_store(home: Home, writer: WriterProcess) -> None:
    """The call returns when it is written."""
    writer.do(heartbeats.beat, "shadow", pid=7, now=clock.now())
    store = Store.open(home.store_url)
    assert [(one.service, one.pid) for one in heartbeats.every(store)] == [("shadow", 7)]
    store.close()


def test_what_the_store_says_is_raised_here(home: Home, writer: WriterProcess) -> None:
    """An error is the store's own, so that what was to be written is kept."""
    (home.root / "store.db").unlink()
    with pytest.raises(StoreError):
        writer.do(heartbeats.beat, "shadow", pid=7, now=clock.now())


def test_the_writer_does_not_lower_priority(home: Home) -> None:
    """Whoever made it gives way afterwards; it goes on as any process."""
    script = ("import os, sys; from pathlib import Path; from changeover.site.home import Home; "
              "from changeover.shadow.writing import WriterProcess; "
              "from changeover.shadow.__main__ import _lower_priority; "
              "w = WriterProcess(Home(Path(sys.argv[1]))); _lower_priority(); "
              "p = w._process.pid; sys.stdout.write(f'{os.sched_getscheduler(0)} "
              "{os.sched_getscheduler(p)} {os.getpriority(os.PRIO_PROCESS, p)}'); w.close()")
    # its own session: giving way concerns the whole group of a session
    told = subprocess.run([sys.executable, "-c", script, str(home.root)], cwd=ROOT,
                          capture_output=True, check=True, timeout=LONGEST_PAUSE,
                          start_new_session=True, text=True).stdout
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    assert told.split() == [str(os.SCHED_IDLE), str(os.SCHED_OTHER), str(mine)]


def test_a_killed_writer_is_noticed(writer: WriterProcess) -> None:
    """What was to be written is refused, and the service can end and be started again."""
    psutil.Process(writer._process.pid).kill()
    wait_for(lambda: writer.has_ended, what="the writer's end")
    with pytest.raises(StoreError, match="has ended"):
        writer.do(heartbeats.beat, "shadow", pid=7, now=clock.now())


def test_the_writer_ends_with_the_service(home: Home) -> None:
    """Also when the service is killed: nothing is left running."""
    script = ("import sys, time; from pathlib import Path; from changeover.site.home import Home; "
              "from changeover.shadow.writing import WriterProcess; "
              "w = WriterProcess(Home(Path(sys.argv[1]))); "
              "sys.stdout.write(f'{w._process.pid}\\n'); sys.stdout.flush(); time.sleep(600)")
    service = subprocess.Popen([sys.executable, "-c", script, str(home.root)], cwd=ROOT,
                               stdout=subprocess.PIPE)
    assert service.stdout is not None
    left = psutil.Process(int(service.stdout.readline()))
    service.kill()
    service.communicate()
    assert wait_for(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE,
                    what="the writer's end")
