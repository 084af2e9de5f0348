"""What people tell a running cutover, on real databases: once each, whoever is killed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from changeover.domain.audit import Author
from changeover.domain.instructions import Instruction, InstructionKind, open_pause
from changeover.domain.rollout import Cutover, CutoverStatus, StageRecord, StageStatus
from changeover.domain.routing import Change, Mode
from changeover.errors import Refused, StaleEpoch
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan, Stage
from changeover.store import audit, cutovers, instructions, leaving_out, plans, routing, upcoming
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD
from tests.store.conftest import shop

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
STAGES = shop().stages()
LATER = STAGES[-2].model_copy(update={"approvers": 2})


def first_stage() -> Stage:
    return STAGES[0].model_copy(update={"soak": 2 * HOUR, "approvers": 2})


@pytest.fixture
def cutover(store: Store) -> Cutover:
    """A cutover whose first stage soaks for two hours from nine o'clock on."""
    begun = cutovers.begin(store, "shop", flow_run_id="run-1", now=NOW)
    cutovers.enter_stage(store, begun.id, first_stage(), now=NOW)
    return begun


def given(
    kind: InstructionKind, after: timedelta, *, actor: str = "ann", reason: str = "trouble",
    stage: str = "", seconds: int = 0,
) -> Instruction:
    round_ = 1 if stage == STAGES[0].key else 0
    return Instruction(1, kind, actor, reason, NOW + after, stage, round_, seconds)


def soaking(store: Store) -> StageRecord:
    found = cutovers.stage(store, 1, STAGES[0].key)
    assert found is not None
    return found


def kinds(store: Store) -> list[str]:
    assert audit.verify(store, "shop") == []
    return [event.kind for event in audit.events(store, "shop")
            if event.kind.startswith("cutover.")]


def test_a_pause_stands_until_it_is_ended_and_no_soak_counts_in_it(
    store: Store, cutover: Cutover
) -> None:
    """Half an hour of the soak had passed; an hour and a half is still left."""
    first = instructions.pause(store, given(InstructionKind.PAUSE, HOUR / 2))
    again = instructions.pause(store, given(InstructionKind.PAUSE, HOUR, actor="bob"))
    assert again == first == open_pause(instructions.all_of(store, cutover.id))
    assert not instructions.promote(store, cutover.id, STAGES[0].key, reason="", now=NOW)
    instructions.resume(store, given(InstructionKind.RESUME, 10 * HOUR))
    assert soaking(store).soak_until == NOW + 10 * HOUR + HOUR * 1.5
    assert open_pause(instructions.all_of(store, cutover.id)) is None
    instructions.resume(store, given(InstructionKind.RESUME, 11 * HOUR))  # the same words again
    with pytest.raises(Refused, match="is not paused"):
        instructions.resume(store, given(InstructionKind.RESUME, 11 * HOUR, actor="bob"))
    assert instructions.promote(store, cutover.id, STAGES[0].key, reason="", now=NOW)
    assert kinds(store) == ["cutover.started", "cutover.pause", "cutover.resume"]


def test_a_soak_that_was_over_before_the_pause_stays_over(store: Store, cutover: Cutover) -> None:
    """Only what was left of it is given back."""
    instructions.pause(store, given(InstructionKind.PAUSE, 3 * HOUR))
    instructions.resume(store, given(InstructionKind.RESUME, 9 * HOUR))
    assert soaking(store).soak_until == NOW + 2 * HOUR


def test_a_soak_is_extended_once_for_each_reason(store: Store, cutover: Cutover) -> None:
    """The same words again are the same instruction; another reason is another one."""
    longer = given(InstructionKind.EXTEND, HOUR, stage=STAGES[0].key, seconds=3600)
    first = instructions.extend(store, longer)
    assert instructions.extend(store, longer) == first
    assert soaking(store).soak_until == NOW + 3 * HOUR
    instructions.extend(store, given(
        InstructionKind.EXTEND, HOUR, stage=STAGES[0].key, seconds=3600, reason="the weekend"))
    assert soaking(store).soak_until == NOW + 4 * HOUR
    assert kinds(store).count("cutover.extend") == 2


def test_a_soak_ends_now_when_as_many_people_agree_as_must_approve(
    store: Store, cutover: Cutover
) -> None:
    """One person twice, in other letters, is one person."""
    for name, agreed in (("ann", ["ann"]), (" ANN ", ["ann"]), ("bob", ["ann", "bob"])):
        now = given(InstructionKind.PROMOTE_NOW, HOUR, actor=name, stage=STAGES[0].key)
        until = soaking(store).soak_until
        assert instructions.promote_now(store, now, first_stage()) == agreed
        assert (soaking(store).soak_until == until) is (len(agreed) < 2)
    assert soaking(store).soak_until == NOW + HOUR
    cutovers.wait_for_approval(store, cutover.id, STAGES[0].key)
    with pytest.raises(Refused, match="waiting"):
        instructions.promote_now(store, now, first_stage())


@pytest.mark.parametrize("kind", [InstructionKind.PROMOTE_NOW, InstructionKind.EXTEND])
def test_the_same_words_do_not_count_for_the_next_stage(
    store: Store, cutover: Cutover, kind: InstructionKind
) -> None:
    """A killed command that is given again meant the soak that is over by now."""
    act = {InstructionKind.PROMOTE_NOW: lambda it: instructions.promote_now(store, it, STAGES[1]),
           InstructionKind.EXTEND: lambda it: instructions.extend(store, it)}[kind]
    act(given(kind, HOUR, stage=STAGES[0].key, seconds=60))
    cutovers.decide(store, cutover.id, STAGES[0].key, status=StageStatus.PROMOTED, reason="",
                    now=NOW)
    cutovers.enter_stage(store, cutover.id, STAGES[1], now=NOW)
    again = replace(given(kind, HOUR, stage=STAGES[1].key, seconds=60), round=1)
    with pytest.raises(Refused, match=f"when {STAGES[0].key} soaked"):
        act(again)
    act(replace(again, reason="the next one, too"))
    assert kinds(store).count(f"cutover.{kind}") == 2


def test_a_later_stage_is_left_out_when_enough_people_say_so(
    store: Store, cutover: Cutover
) -> None:
    """One that was entered is not."""
    skip = [given(InstructionKind.SKIP, HOUR, actor=name, stage=LATER.key) for name in "ab"]
    assert instructions.skip(store, skip[0]) == ["a"]
    assert not leaving_out.leave_out(store, cutover.id, LATER, now=NOW)
    assert instructions.skip(store, skip[1]) == ["a", "b"]
    for _ in range(2):
        assert leaving_out.leave_out(store, cutover.id, LATER, now=NOW)
    record = cutovers.stage(store, cutover.id, LATER.key)
    assert record is not None
    assert (record.status, record.reason) == (
        StageStatus.SKIPPED, "skipped by a: trouble; b: trouble")
    assert [event.kind for event in audit.events(store, "shop")].count("stage.skipped") == 1
    with pytest.raises(Refused, match="was entered already"):
        instructions.skip(store, given(InstructionKind.SKIP, HOUR, stage=STAGES[0].key))


def test_what_is_left_out_is_not_waited_for(store: Store, cutover: Cutover) -> None:
    """Neither its hours nor its group keep the stage before it, or the one after it."""
    plan = shop()
    ahead = STAGES[1]
    approvers = max(1, instructions.enough(store, cutover.id, ahead))

    def next_key() -> str | None:
        found = upcoming.next_stage(store, cutover.id, plan)
        return found.key if found else None

    assert next_key() == ahead.key
    for number in range(approvers):
        assert next_key() == ahead.key
        instructions.skip(store, given(
            InstructionKind.SKIP, HOUR, actor=f"person {number}", stage=ahead.key))
    assert next_key() == STAGES[2].key
    assert upcoming.stage_after(store, cutover.id, plan, STAGES[-1].key) is None


def test_a_stage_that_was_entered_just_before_is_left_all_the_same(
    store: Store, cutover: Cutover
) -> None:
    """The instruction came between the run's look and its step."""
    for name in "ab":
        instructions.skip(store, given(
            InstructionKind.SKIP, HOUR, actor=name, stage=LATER.key))
    cutovers.enter_stage(store, cutover.id, LATER, now=NOW)
    assert leaving_out.leave_out(store, cutover.id, LATER, now=NOW)


def test_no_stage_is_left_out_after_a_rollback(store: Store, cutover: Cutover) -> None:
    """Neither because people said so before it, nor by beginning with a later one."""
    for name in "ab":
        instructions.skip(store, given(
            InstructionKind.SKIP, HOUR, actor=name, stage=LATER.key))
    for change in (Change(mode=Mode.GRADUAL, weight=100), Change(mode=Mode.EMERGENCY_ROLLBACK)):
        routing.change(store, "shop", change, Author("test", "test"), now=NOW)
    with pytest.raises(StaleEpoch, match="a rollback came first"):
        leaving_out.leave_out(store, cutover.id, LATER, now=NOW)
    with pytest.raises(StaleEpoch, match="a rollback came first"):
        leaving_out.pass_over(store, cutover.id, [LATER], reason="begun later", now=NOW)
    assert cutovers.stage(store, cutover.id, LATER.key) is None


def test_nothing_can_be_said_to_a_cutover_that_was_rolled_back(
    store: Store, cutover: Cutover
) -> None:
    """A rollback always comes first; it did not stop where it was."""
    back = Change(mode=Mode.EMERGENCY_ROLLBACK)
    for change in (Change(mode=Mode.GRADUAL, weight=100), back):
        routing.change(store, "shop", change, Author("test", "test"), now=NOW)
    with pytest.raises(StaleEpoch, match="a rollback came first"):
        instructions.pause(store, given(InstructionKind.PAUSE, HOUR))
    with pytest.raises(StaleEpoch, match="a rollback came first"):
        cutovers.finish(store, cutover.id, CutoverStatus.STOPPED, outcome="", now=NOW)
    cutovers.finish(store, cutover.id, CutoverStatus.ROLLED_BACK, outcome="", now=NOW)
    with pytest.raises(Refused, match="is rolled_back"):
        instructions.pause(store, given(InstructionKind.PAUSE, HOUR))


def test_nothing_can_be_said_to_a_cutover_that_has_ended(store: Store, cutover: Cutover) -> None:
    """It was stopped where it was."""
    cutovers.finish(store, cutover.id, CutoverStatus.STOPPED, outcome="", now=NOW)
    with pytest.raises(Refused, match="is stopped"):
        instructions.pause(store, given(InstructionKind.PAUSE, HOUR))


def amended(bound: str) -> Plan:
    return parse_plan(GOOD.replace("below: 1%", f"below: {bound}"), "test")


def agree(store: Store, old: str, new: str, who: str, *, entered: str = STAGES[0].key) -> list[str]:
    """Agree to another bound than the one in force."""
    before, plan = plans.digest_of(amended(old)), amended(new)
    wanted = plans.NewPlan(plan, "test", before, ["the bound"], [entered])
    words = given(InstructionKind.AMEND, HOUR, actor=who, stage=plans.digest_of(plan))
    return instructions.amend(store, words, wanted, needed=2)


def test_an_agreement_is_to_the_change_from_the_plan_in_force(
    store: Store, cutover: Cutover
) -> None:
    """Amended, amended back: to amend it again, both agree again."""
    for old, new in (("1%", "2%"), ("2%", "1%"), ("1%", "2%")):
        assert agree(store, old, new, "ann") == ["ann"]
        assert agree(store, old, new, "ann") == ["ann"]
        assert plans.digest(store, "shop") == plans.digest_of(amended(old))
        assert agree(store, old, new, "bob") == ["ann", "bob"]
        assert plans.digest(store, "shop") == plans.digest_of(amended(new))
    assert kinds(store).count("cutover.amend") == 6


def test_an_agreement_to_another_plan_ends_with_an_amendment(
    store: Store, cutover: Cutover
) -> None:
    """Who agreed to a change of a plan that is not in force any more has seen other changes."""
    agree(store, "1%", "3%", "ann")
    for who in ("bob", "eve"):
        agree(store, "1%", "2%", who)
    assert agree(store, "2%", "3%", "bob") == ["bob"]


def test_a_plan_is_not_amended_when_a_stage_was_entered_since_it_was_compared(
    store: Store, cutover: Cutover
) -> None:
    """Somebody looked at the changes for long; what they remove may be where users are by now."""
    cutovers.decide(store, cutover.id, STAGES[0].key, status=StageStatus.PROMOTED, reason="",
                    now=NOW)
    cutovers.enter_stage(store, cutover.id, STAGES[1], now=NOW)
    with pytest.raises(Refused, match=f"stage {STAGES[1].key} was entered meanwhile"):
        agree(store, "1%", "2%", "ann")
    assert "cutover.amend" not in kinds(store)
