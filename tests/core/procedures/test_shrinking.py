"""Whose word counts before the baseline is made smaller."""

from __future__ import annotations

from typing import Any

import pytest

from changeover import clock
from changeover.domain.capacity import SMALLER, STILL_FITS, shrinking
from changeover.domain.rollout import Answer, Approval, StageAction
from changeover.procedures import shrinking as procedure
from changeover.procedures.shrinking import Shrinking
from changeover.procedures.steps import CutoverRun
from changeover.site.site import Site
from changeover.store import approvals
from tests.core.procedures.conftest import begun
from tests.integration.conftest import make_plan

TOLD = f"{SMALLER}: `halve` leaves 50 %; rolling back would NOT fit"
PROMOTE, HOLD = StageAction.PROMOTE, StageAction.HOLD
OWN = "capacity-before-gradual-50-1"


@pytest.fixture
def run(site: Site) -> CutoverRun:
    """A cutover with a lever that halves the baseline; nobody knows what it bears."""
    site.plan = make_plan(levers={
        "halve": {"of": "baseline", "post": "/halve", "shrinks": "baseline", "leaves": "50%"}})
    return begun(site)


def what(run: CutoverRun) -> Shrinking:
    return Shrinking("before-gradual-50-1", "gradual-50", shrinking(run.site.plan, ["halve"]))


def answered(
    run: CutoverRun, subject: str, *decisions: StageAction, text: str = TOLD, round_: int = 1
) -> None:
    """Have so many people asked one after the other, and answer."""
    for ordinal, decision in enumerate(decisions, 1):
        asked = approvals.ask(run.site.store, Approval(
            run.id, subject, round_, ordinal, run.epoch, text, clock.now()))
        approvals.answer(run.site.store, asked.id, Answer(decision, f"person {ordinal}"),
                         epoch=run.epoch, now=clock.now())


@pytest.mark.parametrize(("asked", "may_go_on"), [
    ([("gradual-50", [PROMOTE], TOLD)], True),
    ([("gradual-50", [PROMOTE, PROMOTE], TOLD)], True),
    # the second of two, asked the same, did not agree
    ([("gradual-50", [PROMOTE, HOLD], TOLD)], False),
    # somebody agreed to this very question, and the next one did not
    ([(OWN, [PROMOTE, HOLD], TOLD)], False),
    ([(OWN, [PROMOTE], TOLD)], False),
    # they were not told of it, or that it fits
    ([("gradual-50", [PROMOTE], "all is well")], False),
    ([("gradual-50", [PROMOTE], f"{SMALLER}: `halve`; {STILL_FITS}")], False),
    ([], False),
])
def test_levers_are_pulled_only_when_all_who_were_asked_agreed(
    run: CutoverRun, asked: list[tuple[str, list[StageAction], Any]], may_go_on: bool
) -> None:
    """A rollback to a baseline that is too small is an outage: one who holds is enough."""
    for subject, decisions, text in asked:
        answered(run, subject, *decisions, text=text)
    found = procedure.room(run, what(run))
    assert procedure.may_go_on(run, what(run), found) is may_go_on
    assert procedure.is_settled(run, what(run)) is may_go_on


def test_a_later_round_that_all_agree_to_counts(run: CutoverRun) -> None:
    """Held at first, then all were told again, and agreed."""
    answered(run, "gradual-50", PROMOTE, HOLD)
    answered(run, "gradual-50", PROMOTE, PROMOTE, round_=2)
    assert procedure.may_go_on(run, what(run), procedure.room(run, what(run)))
