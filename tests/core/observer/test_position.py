"""The kept place in the access log."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover.observer.position import LAG_SECONDS, SAME_PLACE_SECONDS, Position


def test_position_is_kept_only_when_it_is_old_and_stored(tmp_path: Path) -> None:
    """A restart goes on at a place before which everything is in the store."""
    position = Position(tmp_path / "observer.json")
    for second in range(100, 120):
        position.reach(second, (7, second * 10), lambda at: at <= 108)
    assert position.read() == ((7, 1080), 109)


def test_position_is_not_kept_before_its_seconds_have_settled(tmp_path: Path) -> None:
    """Late lines have some seconds to arrive before a restart would skip them."""
    position = Position(tmp_path / "observer.json")
    for second in range(100, 100 + LAG_SECONDS):
        position.reach(second, (7, 1), lambda _: True)
    assert position.read() == (None, 0)


def test_position_in_a_quiet_log_is_saved_seldom(tmp_path: Path) -> None:
    """What is saved stays true while nothing is written; the first new line is noted at once."""
    path = tmp_path / "observer.json"
    position, saved = Position(path), set()
    for second in range(100, 160):
        position.reach(second, (7, 1 if second < 150 else 2), lambda _: True)
        saved.add(position.read())
    quiet = {((7, 1), 101 + n * SAME_PLACE_SECONDS) for n in range(2)}
    busy = {((7, 2), 151)}
    assert saved == {(None, 0), *quiet, *busy}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"inode": 1}', '{"inode": "x"}', "null"])
def test_broken_position_file_means_reading_from_the_start(tmp_path: Path, content: str) -> None:
    """An unreadable file costs reading again, never a crash: samples are replaced, not added."""
    path = tmp_path / "observer.json"
    path.write_text(content)
    assert Position(path).read() == (None, 0)
