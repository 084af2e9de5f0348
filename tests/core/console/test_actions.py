"""The table of actions: what each asks, when it is possible, what it says that it would do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.distinct import Users
from changeover.console import actions, carrying_out
from changeover.console.action_table import ACTIONS, BY_NAME
from changeover.console.actions import MOST_REASON, Action, Group, Situation
from changeover.console.effects import Counted, Traffic
from changeover.console.people import local
from changeover.domain.freezes import Freeze
from changeover.domain.instructions import Instruction, InstructionKind
from changeover.domain.rollout import Approval, Cutover, CutoverStatus, StageRecord, StageStatus
from changeover.domain.routing import Mode, RoutingState
from changeover.domain.tokens import Scope
from changeover.errors import InvalidInput, Refused
from changeover.flags.state import FlagState
from changeover.plan.load import parse_plan
from tests.core.plan.test_load import GOOD

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
PLAN = parse_plan(GOOD, "plan.yaml")
FIRST = PLAN.stages()[0]
CUTOVER = Cutover(7, "shop", 0, CutoverStatus.RUNNING, None, NOW)
SOAKING = StageRecord(
    7, FIRST.key, FIRST.index, StageStatus.SOAKING, NOW, NOW + HOUR, round=2)
ASKED = Approval(7, FIRST.key, 1, 1, 0, "Go on?", NOW, id=3)
TRAFFIC = Traffic(HOUR, Counted(1_000, Users(40, is_exact=True)))
QUIET = Situation(PLAN, NOW, RoutingState("shop"), TRAFFIC)
BUSY = replace(
    QUIET, state=RoutingState("shop", Mode.GRADUAL, 2_500), cutover=CUTOVER, soaking=SOAKING,
    asked=ASKED, ahead=tuple(PLAN.stages()[1:-1]),
    flags={"use_ocr": FlagState("use_ocr", "", False, False, 4, NOW, "ann")})
PAUSE = Instruction(7, InstructionKind.PAUSE, "bob", "so", NOW)
VALUES = {"scope": "all", "decision": "promote", "duration": "2d", "until": "3h",
          "flag": "use_ocr", "percent": "25", "variant": "", "stage": "gradual-10",
          "mode": "gradual"}


def test_every_action_of_the_table_can_be_carried_out() -> None:
    """And nothing can be that is not in it; each needs the highest rights."""
    assert set(carrying_out.BY_NAME) == set(BY_NAME)
    assert len(BY_NAME) == len(ACTIONS)
    assert {each.needs for each in ACTIONS} == {Scope.ADMIN}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda each: each.name)
def test_an_action_that_is_possible_says_what_it_would_do(action: Action) -> None:
    """Before it is done, in at least one sentence."""
    pause = Instruction(7, InstructionKind.PAUSE, "bob", "so", NOW)
    over = replace(BUSY.state, mode=Mode.EMERGENCY_ROLLBACK, weight=0)
    situations = [
        QUIET, BUSY, replace(BUSY, pause=pause), replace(QUIET, state=over),
        replace(BUSY, state=replace(BUSY.state, maintenance=True)),
        replace(QUIET, freeze=Freeze("shop", "bob", "so", NOW))]
    open_in = [each for each in situations if not action.closed(each)]
    assert open_in
    for situation in open_in:
        values = actions.checked(action, situation, VALUES)
        assert set(values) == {each.name for each in action.fields}
        assert all(action.effect(situation, values))


@pytest.mark.parametrize(("name", "why"), [
    ("pause", "no cutover runs"), ("resume", "no cutover runs"), ("extend", "no cutover runs"),
    ("promote-now", "no cutover runs"), ("skip-stage", "no cutover runs"),
    ("answer", "nothing waits"), ("unfreeze", "is frozen"),
    ("maintenance-off", "it is off"), ("recover", "nothing is rolled back"),
    ("flag", "no flags")])
def test_an_action_that_is_not_possible_says_why(name: str, why: str) -> None:
    """And is refused."""
    assert why in BY_NAME[name].closed(QUIET)
    with pytest.raises(Refused, match=why):
        actions.refuse_closed(BY_NAME[name], QUIET)


def test_rolling_back_says_the_numbers_and_what_follows() -> None:
    """A quarter of forty users, and the cutover."""
    said = BY_NAME["emergency"].effect(BUSY, {})
    assert said[0] == ("Moves about 10 users an hour back to the baseline: "
                       "25 % of all, 250 requests.")
    assert "The running cutover 7 ends as rolled back." in said


@pytest.mark.parametrize(("values", "said"), [
    ({"mode": "candidate_only"}, "to the candidate"), ({"mode": "baseline_only"}, "back to the"),
    ({"mode": "gradual", "percent": "50"}, "to the candidate"),
    ({"mode": "gradual"}, "The plan's next stage")])
def test_changing_the_mode_says_whom_it_moves(values: dict[str, str], said: str) -> None:
    """While no cutover runs; one that runs decides by its gates."""
    quiet = replace(BUSY, cutover=None)
    action = BY_NAME["mode"]
    assert not action.closed(quiet)
    assert said in " ".join(action.effect(quiet, actions.checked(action, quiet, values)))
    assert "cutover 7 decides by its gates" in action.closed(BUSY)
    with pytest.raises(InvalidInput):
        actions.checked(action, replace(quiet, state=RoutingState("shop")), {
            "mode": "candidate_only"})


def test_promoting_says_whom_the_next_stage_moves() -> None:
    """By the plan's next stage."""
    said = " ".join(BY_NAME["answer"].effect(BUSY, {"decision": "promote"}))
    assert PLAN.stages()[1].title in said


@pytest.mark.parametrize(("name", "values", "where"), [
    ("rollback", {"scope": "segment:nobody"}, "scope"), ("rollback", {}, "scope"),
    ("answer", {"decision": "maybe"}, "decision"), ("skip-stage", {"stage": "full"}, "stage"),
    ("flag", {"flag": "other"}, "flag"),
    ("extend", {"duration": "9" * 300}, "duration"), ("freeze", {"until": "a\0b"}, "until")])
def test_what_cannot_be_chosen_is_refused_with_its_place(
    name: str, values: dict[str, str], where: str
) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidInput) as refused:
        actions.checked(BY_NAME[name], BUSY, values)
    assert refused.value.where == where


@pytest.mark.parametrize(("name", "changed"), [
    ("answer", {"asked": replace(ASKED, id=4)}),
    ("extend", {"soaking": replace(SOAKING, round=3)}),
    ("promote-now", {"soaking": replace(SOAKING, key="gradual-50")}),
    ("skip-stage", {"cutover": replace(CUTOVER, id=8)}),
    ("flag", {"flags": {"use_ocr": FlagState("use_ocr", "", True, False, 5, NOW, "bob")}}),
    ("resume", {"pause": replace(PAUSE, at=NOW + HOUR, reason="another trouble")}),
    ("unfreeze", {"freeze": Freeze("shop", "bob", "holidays", NOW)}),
    ("recover", {"state": replace(BUSY.state, epoch=5)}),
    ("maintenance-off", {"state": replace(BUSY.state, maintenance_reason="a second move")})])
def test_what_was_shown_is_another_when_it_has_changed(
    name: str, changed: dict[str, object]
) -> None:
    """A question, a soak, a flag's version, what somebody else began anew; a rollback is never kept
    from being done so."""
    seen = BY_NAME[name].seen
    assert seen(BUSY, VALUES) != seen(replace(BUSY, **changed), VALUES)
    for back in ("rollback", "emergency", "pause"):
        assert BY_NAME[back].seen(BUSY, VALUES) == ""


@given(st.text(max_size=300))
def test_a_reason_is_one_line_that_can_be_stored(text: str) -> None:
    """What is taken has neither control characters nor such that turn the order of others."""
    try:
        reason = actions.reason_of({"reason": text}, Group.CUTOVER)
    except InvalidInput as refused:
        assert refused.where == "reason"
        return
    assert 0 < len(reason) <= MOST_REASON
    assert reason == text.strip()
    assert not {"\0", "\n", "\u202e"} & set(reason)


def test_a_token_in_a_reason_is_refused_and_keeps_nobody_from_going_back() -> None:
    """Its secret is kept nowhere."""
    token = f"cha_{'0' * 12}_{'x' * 43}"
    with pytest.raises(InvalidInput, match="a token stands in the reason"):
        actions.reason_of({"reason": f"as {token} says"}, Group.CUTOVER)
    reason = actions.reason_of({"reason": f"as {token} says"}, Group.BACK)
    assert reason == "as cha_000000000000_*** says"


@given(st.text(st.sampled_from("/\\.:@?#%abej\t\r\n "), max_size=20))
def test_an_address_to_go_on_to_is_the_consoles_own(place: str) -> None:
    """However a browser reads it."""
    found = local(place)
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert found.isprintable()
