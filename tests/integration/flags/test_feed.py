"""A feed is fresh, or says that it is not: whatever fails, and whoever listens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import TimeoutError as PoolTimeout

from changeover.domain.routing import Mode
from changeover.errors import ChangeoverError, Unreachable
from changeover.flags.snapshot import Snapshot
from changeover.sdk.feed import Feed, LatestFlags
from changeover.store import flags
from changeover.store.flags import FlagRow
from tests.integration.flags.conftest import Site
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration
LATER: dict[str, Any] = {"default": "enabled", "field_of_a_later_version": 1}


class Failing:
    """A source that works until it is told otherwise, and again afterwards."""

    def __init__(self, read: Callable[[], Snapshot]) -> None:
        self.read, self.error = read, None

    def next(self, etag: str, stop: threading.Event) -> Snapshot | None:
        """Return the snapshot when it is another one."""
        if self.error is not None:
            raise self.error
        stop.wait(0.02)
        found = self.read()
        return found if found.etag != etag else None

    def close(self) -> None:
        """Nothing is open."""


def is_stale(feed: Feed) -> bool:
    """Whether the feed says that its answers may be old."""
    return feed.latest is not None and feed.latest.is_stale


@pytest.mark.parametrize("error", [
    Unreachable("nobody answers"), PoolTimeout("QueuePool limit reached"), KeyError("state"),
    ValueError("no such mode"), MemoryError()], ids=lambda error: type(error).__name__)
def test_any_error_makes_the_answers_stale_and_the_feed_goes_on(
    site: Site, error: Exception
) -> None:
    """Foreseen or not: the last snapshot answers as stale; afterwards it is fresh again."""
    source = Failing(lambda: flags.snapshot(site.store, "shop"))
    with Feed(source).start(wait=LONGEST_PAUSE) as feed:
        source.error = error
        wait_for(lambda: is_stale(feed), what="stale")
        assert (str(error) if isinstance(error, ChangeoverError) else type(error).__name__) in (
            feed.latest.problem)
        source.error = None
        site.move(Mode.EMERGENCY_ROLLBACK)
        wait_for(lambda: not is_stale(feed), seconds=20, what="fresh")
        wait_for(lambda: feed.evaluator.snapshot.state.mode is Mode.EMERGENCY_ROLLBACK)


def test_flag_that_this_version_cannot_read_is_told_and_mended(site: Site) -> None:
    """A row of a later version: not one answer passes for fresh until it can be read again."""
    def write(document: Any) -> None:
        with site.store.begin() as session:
            session.execute(update(FlagRow).where(FlagRow.name == "enable_ai")
                            .values(value=document))

    with Feed.from_store(site.store, "shop").start(wait=LONGEST_PAUSE) as feed:
        write(LATER)
        site.move(Mode.EMERGENCY_ROLLBACK)
        wait_for(lambda: is_stale(feed), what="stale")
        write(False)
        wait_for(lambda: not is_stale(feed), seconds=20, what="fresh")
        assert feed.evaluator.snapshot.state.mode is Mode.EMERGENCY_ROLLBACK


def test_listener_that_fails_harms_nobody_else(site: Site) -> None:
    """The feed goes on, and so do those who listen behind it."""
    def fail(_latest: LatestFlags) -> None:
        raise RuntimeError("the application's fault")

    seen: list[LatestFlags] = []
    with Feed.from_store(site.store, "shop").start(wait=LONGEST_PAUSE) as feed:
        feed.subscribe(fail)
        feed.subscribe(seen.append)
        site.set("enable_ai", True)
        wait_for(lambda: seen)
        site.set("log_level", "DEBUG")
        wait_for(lambda: feed.value("log_level", "") == "DEBUG")
        assert not is_stale(feed)


def test_feed_that_was_stopped_says_nothing_more(site: Site) -> None:
    """An application ends without waiting for the console's answer, which then tells nobody."""
    asked, answer, answered = (threading.Event() for _ in range(3))

    def read() -> Snapshot:
        asked.set()
        answer.wait(60)
        answered.set()
        return flags.snapshot(site.store, "shop")

    feed, seen = Feed(Failing(read)), []
    feed.subscribe(seen.append)
    with pytest.raises(Unreachable):
        feed.start(wait=0.1)
    thread = next(one for one in threading.enumerate() if one.name == "changeover-flags")
    assert asked.wait(10)
    feed.stop()
    assert not answered.is_set()
    answer.set()
    thread.join(20)
    assert (feed.latest, seen, thread.is_alive()) == (None, [], False)
