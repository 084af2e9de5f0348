"""What it means for work how Prefect says that its flow run stands: the whole table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain import run_ends
from changeover.domain.run_ends import CONTINUED, NEEDS_DEPLOYMENT, End, Ended, Sight, Work, judge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATES = ("", "SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", "CANCELLED", "COMPLETED",
          "FAILED", "CRASHED")


def seen(state: str, seconds: float = 3600, **more: Any) -> Sight:
    """A run in a state for so many seconds."""
    return Sight(state, NOW - timedelta(seconds=seconds), **more)


def due(seconds: float) -> dict[str, datetime]:
    return {"due": NOW - timedelta(seconds=seconds)}


@pytest.mark.parametrize(("sight", "end"), [
    pytest.param(seen("", 4.9), None, id="unknown for a moment"),
    pytest.param(seen("", 5), End.UNKNOWN, id="deleted, or the database was lost"),
    pytest.param(seen("CANCELLED", 0), End.CANCELLED, id="cancelled"),
    pytest.param(seen("CANCELLING", 59), None, id="being cancelled"),
    pytest.param(seen("CANCELLING", 60), End.CANCELLED, id="nobody is there to cancel it"),
    pytest.param(seen("COMPLETED", 0), End.COMPLETED, id="set to completed"),
    pytest.param(seen("FAILED"), None, id="failed, tried again"),
    pytest.param(seen("FAILED", is_tried_again=False), End.FAILED, id="failed for good"),
    pytest.param(seen("CRASHED"), None, id="crashed, tried again"),
    pytest.param(seen("CRASHED", is_tried_again=False), End.FAILED, id="crashed too often"),
    pytest.param(seen("RUNNING"), None, id="running"),
    pytest.param(seen("RUNNING", is_deployed=False), None, id="running, its deployment deleted"),
    pytest.param(seen("PENDING"), None, id="about to run"),
    pytest.param(seen("PAUSED", is_asked=True), None, id="waits for people"),
    pytest.param(seen("PAUSED", 9.9), None, id="suspended, the question follows"),
    pytest.param(seen("PAUSED", 10), End.SUSPENDED, id="suspended, nobody is asked"),
    pytest.param(seen("PAUSED", is_asked=True, is_deployed=False), End.NOT_DEPLOYED,
                 id="waits for people, its deployment deleted"),
    pytest.param(seen("SCHEDULED", **due(-3600)), None, id="soaks"),
    pytest.param(seen("SCHEDULED", **due(179)), None, id="due since lately"),
    pytest.param(seen("SCHEDULED", **due(180)), End.NOT_STARTED, id="late for minutes"),
    pytest.param(seen("SCHEDULED", 180), End.NOT_STARTED, id="late, due at once"),
    pytest.param(seen("SCHEDULED", 0, is_deployed=False), End.NOT_DEPLOYED,
                 id="scheduled, its deployment deleted"),
    pytest.param(seen("CRASHED", is_deployed=False), End.NOT_DEPLOYED,
                 id="crashed, its deployment deleted"),
    pytest.param(seen("A NEW TYPE OF STATE"), None, id="a state that we do not know"),
])
def test_state_of_a_run_says_whether_its_work_goes_on(sight: Sight, end: End | None) -> None:
    """None: it goes on, waits as it should, or the observer brings it back."""
    assert judge(sight, NOW) is end


@given(
    state=st.sampled_from(STATES), seconds=st.floats(0, 1e6), late=st.floats(-1e6, 1e6),
    is_deployed=st.booleans(), is_asked=st.booleans(), is_tried_again=st.booleans())
def test_an_end_stays_one_while_nothing_changes(
    state: str, seconds: float, late: float, is_deployed: bool, is_asked: bool,
    is_tried_again: bool,
) -> None:
    """People are told once: no end is taken back by time alone."""
    sight = seen(state, seconds, **due(late), is_deployed=is_deployed, is_asked=is_asked,
                 is_tried_again=is_tried_again)
    end = judge(sight, NOW)
    if end is not None:
        assert judge(sight, NOW + timedelta(hours=1)) is end
    if not is_deployed and state in NEEDS_DEPLOYMENT:
        assert end is End.NOT_DEPLOYED


@pytest.mark.parametrize("end", End)
@pytest.mark.parametrize("work", Work)
def test_every_end_is_told_with_a_way_on(work: Work, end: End) -> None:
    """What happened, since when, where users stand, and a command for what can be done."""
    told = run_ends.sentence(f"{work} 7", Ended(end, NOW, "by ann"), "gradual, 10 %")
    assert told.startswith("Since 2026-03-01 12:00:00 UTC ")
    for part in ("(by ann)", "gradual, 10 %"):
        assert part in told
    assert ("`changeover continue`" in told) == (work in CONTINUED)
