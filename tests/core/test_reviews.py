"""Checkpoints while a stage soaks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from changeover.domain.approvers import Rules, rules_of, stage_of
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.reviews import Review, next_review, subject
from changeover.domain.rollout import Answer, Approval, StageAction, StageRecord, StageStatus
from changeover.errors import InvalidPlan
from changeover.plan.faster import faster
from changeover.plan.load import parse_plan
from changeover.plan.people import ReviewsSpec
from changeover.procedures import reviews
from changeover.procedures.steps import CutoverRun
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import approvals, cutovers, plans, starting
from tests.core.plan.test_load import GOOD
from tests.support.ready_store import ready_store

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
EVERY = 2 * DAY


def stage(*, soak: timedelta = 7 * DAY, round_: int = 1) -> StageRecord:
    """Return a stage that soaks since `START`."""
    return StageRecord(
        1, "gradual-50", 0, StageStatus.SOAKING, START, START + soak, round=round_)


def asked(
    number: int, at: timedelta, answered: timedelta | None, *, round_: int = 1, ordinal: int = 1,
    about: str = "", decision: StageAction = StageAction.PROMOTE,
) -> Approval:
    """Return a question about a review, and its answer where there is one."""
    return Approval(
        1, about or subject("gradual-50", number), round_, ordinal, 0, "?", START + at,
        decision=decision if answered else None, approver="ann" if answered else None,
        answered_at=START + answered if answered else None)


def test_the_first_review_is_due_after_its_time() -> None:
    """Counted from when users were moved."""
    assert next_review(stage(), EVERY, [], 1) == Review(1, START + EVERY, is_asked=False)


def test_a_review_that_was_asked_waits_for_its_answer() -> None:
    """Also when it should be over by the clock: nobody looked yet."""
    found = next_review(stage(), EVERY, [asked(1, EVERY, None)], 1)
    assert found == Review(1, START + EVERY, is_asked=True)


def test_the_next_review_counts_from_the_answer() -> None:
    """People who answered a day late are not asked again after a day."""
    answers = [asked(1, EVERY, 3 * DAY)]
    assert next_review(stage(), EVERY, answers, 1) == Review(2, START + 5 * DAY, is_asked=False)


def test_a_review_needs_as_many_people_as_its_stage() -> None:
    """One of two agreed: the second one is asked."""
    answers = [asked(1, EVERY, EVERY)]
    found = next_review(stage(), EVERY, answers, 2)
    assert found is not None
    assert (found.number, found.is_asked) == (1, True)
    both = [*answers, asked(1, EVERY, 3 * DAY, ordinal=2)]
    assert next_review(stage(), EVERY, both, 2) == Review(2, START + 5 * DAY, is_asked=False)


def test_who_is_not_listed_any_more_has_not_reviewed_it() -> None:
    """An amendment took ann from the list after she had agreed; earlier reviews stay over."""
    answers = [asked(1, EVERY, EVERY), asked(2, 2 * EVERY, 2 * EVERY)]
    found = next_review(stage(), EVERY, answers, 1, Rules(names=("bob",)))
    assert found == Review(2, START + 2 * EVERY, is_asked=True)
    assert next_review(stage(), EVERY, answers, 1, Rules(names=("Ann",))) == Review(
        3, START + 3 * EVERY, is_asked=False)


@pytest.mark.parametrize("said", [StageAction.HOLD, StageAction.ROLLBACK])
def test_what_people_said_at_a_review_is_still_to_be_done(said: StageAction) -> None:
    """The run was lost between their answer and what follows from it."""
    answers = [asked(1, EVERY, EVERY, decision=said)]
    found = next_review(stage(), EVERY, answers, 1)
    assert found == Review(1, START + EVERY, is_asked=True)


@pytest.mark.parametrize(("starters", "is_over"), [((), False), (("bob",), True)])
def test_four_eyes_need_a_second_one_when_nobody_knows_who_started_it(
    tmp_path: Path, starters: tuple[str, ...], is_over: bool
) -> None:
    """Also where another run takes the cutover up between the first answer and the second."""
    plan = parse_plan(REVIEWED.replace("approvers: 2, names: [ann, bob]",
                                       "names: [ann, bob], four_eyes: true"), "own.yaml")
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    plans.register(store, plan, source="x", now=START)
    begun = cutovers.begin(store, "shop", flow_run_id="a", now=START)
    for name in starters:
        starting.start(store, Instruction(begun.id, InstructionKind.START, name, "x", START))
    kept = approvals.ask(store, Approval(
        begun.id, subject("gradual-50", 1), 1, 1, 0, "?", START, flow_run_id="a"))
    approvals.answer(store, kept.id, Answer(StageAction.PROMOTE, "ann"), epoch=0, now=START)
    run = CutoverRun(Site(Home(tmp_path), plan, store), begun, "b")
    found = reviews.of_stage(run, replace(stage(), cutover_id=begun.id))
    assert found is not None
    assert (found.number, found.is_asked) == ((2, False) if is_over else (1, True))
    store.close()


def test_there_is_no_review_after_the_soak() -> None:
    """The stage's own question follows then."""
    answers = [asked(number, number * EVERY, number * EVERY) for number in (1, 2, 3)]
    assert next_review(stage(), EVERY, answers, 1) is None
    assert next_review(stage(soak=EVERY), EVERY, [], 1) is None


def test_a_held_stage_is_reviewed_anew() -> None:
    """Its soak begins with the answer that held it, and its reviews with number 1."""
    held = asked(1, EVERY, EVERY, decision=StageAction.HOLD)
    found = next_review(stage(soak=9 * DAY, round_=2), EVERY, [held], 1)
    assert found == Review(1, START + 4 * DAY, is_asked=False)


def test_questions_about_other_stages_move_no_review() -> None:
    """`gradual-5` is not `gradual-50`."""
    other = asked(1, EVERY, 3 * DAY, about=subject("gradual-5", 1))
    assert next_review(stage(), EVERY, [other], 1) == Review(1, START + EVERY, is_asked=False)


REVIEWED = GOOD.replace(
    "{percent: 50, soak: 1h}",
    "{percent: 50, soak: 1h, approval: {approvers: 2, names: [ann, bob]}, reviews: {every: 10m}}")


def test_the_approvers_of_a_stage_review_it() -> None:
    """By the same names and as many."""
    plan = parse_plan(REVIEWED, "own.yaml")
    about = subject("gradual-50", 3)
    assert stage_of(plan, about) == "gradual-50"
    assert rules_of(plan, about).names == ("ann", "bob")
    assert rules_of(plan, about).needed == 2


@pytest.mark.parametrize("every", ["1h", "2h"])
def test_reviews_that_never_come_are_refused(every: str) -> None:
    """A person who reads the plan would rely on them."""
    with pytest.raises(InvalidPlan) as refused:
        parse_plan(REVIEWED.replace("every: 10m", f"every: {every}"), "own.yaml")
    assert "never come within the soak 1h of stage gradual 50 %" in str(refused.value)


def test_reviews_of_a_whole_gradual_phase_are_refused() -> None:
    """They belong to a stage."""
    with pytest.raises(InvalidPlan) as refused:
        parse_plan(GOOD.replace("phase: gradual,", "phase: gradual, reviews: {every: 10m},"), "x")
    assert "phase gradual does not have reviews" in str(refused.value)
    with pytest.raises(ValidationError):
        ReviewsSpec.model_validate({"every": "0s"})


def test_reviews_come_faster_in_a_faster_plan() -> None:
    """Ten minutes of an hour, sixty times as fast."""
    spec = faster(parse_plan(REVIEWED, "own.yaml"), 60).stage("gradual-50").reviews
    assert spec is not None
    assert spec.every == timedelta(seconds=10)
