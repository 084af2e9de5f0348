"""Looking again and again, on a made-up clock."""

from __future__ import annotations

import time

import pytest

from changeover import clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock's time, which goes on only by sleeping and by what looks take."""
    at = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: at[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: at.append(at.pop() + seconds))
    return at


def test_what_is_good_at_once_is_returned_at_once(now: list[float]) -> None:
    """Nobody sleeps."""
    assert clock.poll_until(lambda: "good", bool, seconds=5, pause=1) == "good"
    assert now == [100.0]


def test_what_gets_good_is_returned_then(now: list[float]) -> None:
    """Looks are a pause apart."""
    assert clock.poll_until(lambda: now[0], lambda at: at >= 103, seconds=5, pause=1) == 103


def test_last_look_begins_after_the_time_is_over(now: list[float]) -> None:
    """One that began before it and took long tells nothing about the present."""
    def slow() -> tuple[float, float]:
        began = now[0]
        now[0] += 20
        return began, now[0]

    assert clock.poll_until(slow, lambda _: False, seconds=5, pause=1) == (121, 141)


def test_no_time_is_one_look(now: list[float]) -> None:
    """What is bad is returned."""
    assert clock.poll_until(lambda: "", bool, seconds=0, pause=1) == ""
    assert now == [100.0]
