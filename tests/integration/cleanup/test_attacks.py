"""Cleaning up while someone turns folders into links, and while it is killed at every line."""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest

from changeover import cleanup, clock
from changeover.errors import ChangeoverError, InvalidInput
from tests.integration.cleanup.conftest import Place
from tests.support.killing import each_kill

pytestmark = pytest.mark.integration
ROUNDS = 100
EFFECTS = ("cleanup/move.py", "cleanup/manifest.py")  # the only files that change anything
_EXCHANGE, _HERE = 2, -100
_LIBC = ctypes.CDLL(None, use_errno=True)


def exchange(one: Path, other: Path) -> None:
    """Swap two names at once, so that neither is ever missing."""
    if _LIBC.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[list[int]]:
    """Swap two names as fast as possible in a thread; the list holds how often."""
    stop, count = threading.Event(), [0]

    def work() -> None:
        while not stop.is_set():
            with suppress(OSError):
                exchange(one, other)
                count[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(("pattern", "one"), [("a/*", "a"), ("a/folder/*", "a"), ("a", "a"),
                                              ("a/folder/*", "a/folder"), ("**/precious", "a")])
def test_folder_swapped_for_a_link_leads_nothing_out(
    place: Place, pattern: str, one: str
) -> None:
    """A folder becomes a link to other people's files and back, at any moment; none ever moves."""
    place.patterns = [pattern]
    place.file("a/precious", "candidate's")
    place.file("a/folder/precious", "candidate's")
    links = place.root.parent / "links"
    links.mkdir()
    (links / "link").symlink_to(place.outside / ("folder" if "/" in one else ""))
    with swapping(place.root / one, links / "link") as swapped:
        number = 0
        while number < ROUNDS or swapped[0] <= ROUNDS:
            with suppress(ChangeoverError):
                place.quarantine(f"n{number}")
            with suppress(ChangeoverError):
                place.bring_back(f"n{number}")
            number += 1
    assert place.is_untouched()


def test_root_swapped_for_a_link_leads_nothing_out(place: Place) -> None:
    """Not even the root may be turned while it is cleaned."""
    place.file("precious", "candidate's")
    link = place.root.parent / "link"
    link.symlink_to(place.outside)
    with swapping(place.root, link):
        for number in range(ROUNDS):
            with suppress(ChangeoverError):
                place.quarantine(f"n{number}")
    assert place.is_untouched()


def test_purge_of_a_folder_swapped_for_a_link_deletes_nothing_outside(place: Place) -> None:
    """Deleting follows no link, whatever is swapped under it."""
    for number in range(ROUNDS):
        place.file("a/folder/precious", "candidate's")
        place.quarantine()
        files = place.root / cleanup.QUARANTINE / ".deleting-n/files/1"
        link = place.root.parent / f"link{number}"
        link.symlink_to(place.outside / "folder")
        with swapping(files / "folder", link), suppress(ChangeoverError):
            cleanup.purge([str(place.root)], older_than=timedelta(0),
                          now=clock.now() + timedelta(seconds=1))
        with suppress(FileNotFoundError):
            shutil.rmtree(place.root / cleanup.QUARANTINE)
    assert place.is_untouched()


def fill(place: Place) -> dict[str, str]:
    """Make what is moved in the tests of kills, and return the tree."""
    shutil.rmtree(place.root)
    place.patterns = ["*.tmp", "deep/*"]
    for name in ("a.tmp", "b\n.tmp", "deep/folder/c", "stays"):
        place.file(name, name)
    return place.tree()


def test_quarantine_killed_at_any_line_is_completed_by_a_repeat(place: Place) -> None:
    """Same end as an undisturbed run; nothing lost, nothing twice."""
    kills = 0
    for kills in each_kill(EFFECTS, lambda: fill(place), place.quarantine):
        _, moved = place.quarantine()
        assert len(moved) == 3 and set(place.tree()) == {"deep", "stays"}, kills
    assert kills > 50


def test_quarantine_killed_at_any_line_can_be_undone(place: Place) -> None:
    """Every file is in one of two places, and the way back finds it."""
    before: dict[str, str] = {}
    for kills in each_kill(EFFECTS, lambda: before.update(fill(place)), place.quarantine):
        with suppress(InvalidInput):  # killed before there was a quarantine
            place.bring_back()
        assert place.tree() == before, kills


def test_undo_killed_at_any_line_is_completed_by_a_repeat(place: Place) -> None:
    """Everything is back, and the second call says so of all of it."""
    before: dict[str, str] = {}

    def prepare() -> None:
        before.update(fill(place))
        place.quarantine()

    for kills in each_kill(EFFECTS, prepare, place.bring_back):
        back = place.bring_back()
        assert place.tree() == before and len(back.restored) == 3, kills


def test_purge_killed_at_any_line_is_completed_by_a_repeat(place: Place) -> None:
    """Half a quarantine is not brought back, and its rest is deleted next time."""
    def purge() -> None:
        cleanup.purge([str(place.root)], older_than=timedelta(0),
                      now=clock.now() + timedelta(hours=1))

    def prepare() -> None:
        fill(place)
        place.quarantine()

    for kills in each_kill(EFFECTS, prepare, purge):
        purge()
        left = [path.name for path in (place.root / cleanup.QUARANTINE).iterdir()]
        assert left == [".lock"], kills
