"""What an action would do, in numbers of the last hour; what nobody measured is unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.distinct import Users
from changeover.console import effects
from changeover.console.effects import Counted, Traffic
from changeover.domain.routing import Change, Mode, RoutingState, apply

HOUR = timedelta(hours=1)
TOTAL = Counted(200_000, Users(49_600, is_exact=False))
BUSY = Traffic(HOUR, TOTAL, {"beta": Counted(300, Users(21, is_exact=True))})
QUARTER = RoutingState("shop", Mode.GRADUAL, 2_500, ("beta",))
BACK = replace(QUARTER, mode=Mode.EMERGENCY_ROLLBACK, weight=0, segments=(), epoch=1)


def test_a_rollback_says_how_many_users_an_hour_go_back() -> None:
    """The share that the split has given, of all users, and the segments apart."""
    first, second = effects.moved(BUSY, QUARTER, BACK)
    assert first == (
        "Moves about 12,400 users an hour back to the baseline: 25 % of all, 50,000 requests.")
    assert second.startswith("Moves 21 users of segment beta an hour back to the baseline")


def test_what_nobody_has_measured_is_unknown() -> None:
    """No number is made up: neither of all users, nor of a segment."""
    lines = " ".join(effects.moved(Traffic(), QUARTER, BACK))
    assert lines.count("unknown") == 2
    assert "Moves 25 % of the users" in lines
    apart = effects.moved(replace(BUSY, segments={}), QUARTER, BACK)[1]
    assert "unknown" in apart


def test_an_hour_that_was_measured_in_part_is_said_to_be_so() -> None:
    """After a start of the observer there are only some minutes."""
    part = replace(BUSY, measured=timedelta(minutes=12))
    assert "in the 12m that were measured" in effects.moved(part, QUARTER, BACK)[0]


def test_one_segment_that_goes_back_moves_nobody_else() -> None:
    """The split stays as it is."""
    kept = apply(QUARTER, Change(mode=Mode.GRADUAL, segments=(), kept=("beta",)))
    (only,) = effects.moved(BUSY, QUARTER, kept)
    assert "segment beta" in only


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_there_and_back_move_equally_many(one: int, other: int) -> None:
    """What a change moves to the candidate, its opposite moves back."""
    a = replace(QUARTER, weight=one, segments=())
    b = replace(QUARTER, weight=other, segments=())
    there, back = effects.moved(BUSY, a, b), effects.moved(BUSY, b, a)
    if one == other:
        assert there == back == ["No user changes the system."]
        return
    ways = ("to the candidate", "back to the baseline")
    forth, again = ways if other > one else ways[::-1]
    assert there[0].replace(forth, again) == back[0]
