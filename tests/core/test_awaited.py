"""What `changeover wait` waits for: met, still to come, or impossible."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.awaited import Answer, Awaited, Seen, answer
from changeover.domain.rollout import CutoverStatus, StageStatus
from tests.support.examples import MANY

RUNNING, PROMOTED = CutoverStatus.RUNNING, CutoverStatus.PROMOTED
MET, NOT_YET, NEVER = Answer.MET, Answer.NOT_YET, Answer.IMPOSSIBLE
NOTHING = Seen()
SOAKS = Seen(3, RUNNING, stages={"beta-5": StageStatus.PROMOTED, "full": StageStatus.SOAKING})
ASKS = Seen(3, RUNNING, question="beta-5", stages={"beta-5": StageStatus.WAITING})
GOING_BACK = Seen(3, RUNNING, is_going_back=True, question="beta-5")
BACK = Seen(3, RUNNING, is_going_back=True, is_rolled_back=True)
ENDED_WELL = Seen(3, PROMOTED, stages={"beta-5": StageStatus.SKIPPED})
FAILED = Seen(3, CutoverStatus.FAILED)
BACK_BY_HAND = Seen(is_going_back=True, is_rolled_back=True)

TABLE = {
    # what is seen:  started, waiting, promoted, rolled-back, ended
    "nothing": (NOTHING, (NOT_YET, NOT_YET, NOT_YET, NOT_YET, NOT_YET)),
    "soaks": (SOAKS, (MET, NOT_YET, NOT_YET, NOT_YET, NOT_YET)),
    "asks": (ASKS, (MET, MET, NOT_YET, NOT_YET, NOT_YET)),
    "going back": (GOING_BACK, (NOT_YET, NEVER, NEVER, NOT_YET, MET)),
    "back": (BACK, (NOT_YET, NEVER, NEVER, MET, MET)),
    "promoted": (ENDED_WELL, (NOT_YET, NEVER, MET, NEVER, MET)),
    "failed": (FAILED, (NOT_YET, NEVER, NEVER, NEVER, MET)),
    "back by hand": (BACK_BY_HAND, (NOT_YET, NOT_YET, NOT_YET, MET, NOT_YET)),
}


@pytest.mark.parametrize("name", TABLE)
def test_each_wait_is_answered_for_each_state(name: str) -> None:
    """A script that waits for a promotion ends when that cannot come any more."""
    seen, expected = TABLE[name]
    assert tuple(answer(wanted, seen) for wanted in Awaited) == expected


@pytest.mark.parametrize(("key", "seen", "expected"), [
    ("full", SOAKS, MET), ("beta-5", SOAKS, MET), ("later", SOAKS, NOT_YET),
    ("beta-5", ENDED_WELL, NEVER), ("full", BACK, NEVER), ("full", NOTHING, NOT_YET)])
def test_a_stage_is_met_once_it_was_entered(key: str, seen: Seen, expected: Answer) -> None:
    """One that people left out, or that a rollback came before, is not waited for."""
    assert answer(key, seen) is expected


@MANY
@given(st.sampled_from(list(Awaited)), st.builds(
    Seen, st.just(1), st.sampled_from(list(CutoverStatus)), st.booleans(),
    question=st.sampled_from(["", "full"])))
def test_nobody_waits_for_a_cutover_that_is_over(wanted: Awaited, seen: Seen) -> None:
    """But for the next one to start, and for users who are on their way back."""
    still_coming = wanted is Awaited.STARTED or (
        wanted is Awaited.ROLLED_BACK and seen.is_going_back)
    if seen.is_over and not still_coming:
        assert answer(wanted, seen) is not NOT_YET
    assert seen.text.startswith("cutover 1 ")
