"""A node believes that the store is silent only when it was awake to hear it."""

from __future__ import annotations

from changeover.node.awake import LONGEST_TURN, TURNS, Awake


def turns(awake: Awake, *, since: float, begin: float, count: int, every: float = 0.1) -> float:
    """Let turns pass in which the store is silent since a moment; return when they end."""
    now = begin
    for _ in range(count):
        awake.turn(now - since, now)
        now += every
    return now


def test_a_silence_is_certain_after_so_many_turns() -> None:
    awake = Awake()
    now = turns(awake, since=0.0, begin=0.1, count=TURNS - 1)
    assert not awake.is_sure
    awake.turn(now, now)
    assert awake.is_sure


def test_a_word_of_the_store_ends_it() -> None:
    """Also one that came and went between two turns."""
    awake = Awake()
    now = turns(awake, since=0.0, begin=0.1, count=TURNS + 5)
    awake.turn(0.05, now)
    assert not awake.is_sure and awake.seconds == 0
    turns(awake, since=now, begin=now, count=TURNS + 5)
    assert awake.is_sure
    awake.turn(None, now)
    assert not awake.is_sure


def test_who_stood_still_asks_anew_for_as_long_as_any_other() -> None:
    """The store was silent for an hour, as far as it knows: it did not ask."""
    awake = Awake()
    now = turns(awake, since=0.0, begin=0.1, count=TURNS + 5)
    now += 3600
    turns(awake, since=0.0, begin=now, count=TURNS)
    assert not awake.is_sure
    assert awake.seconds < TURNS * 0.1
    turns(awake, since=0.0, begin=now + TURNS * 0.1, count=1)
    assert awake.is_sure


def test_a_slow_turn_counts_for_a_part() -> None:
    """A machine that is slow is not one that the store does not answer."""
    awake = Awake()
    turns(awake, since=0.0, begin=0.1, count=11, every=0.9)
    assert awake.seconds == 10 * LONGEST_TURN
