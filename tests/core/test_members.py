"""Members of a group: nobody gets ahead of one that goes first, at any interleaving."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain import members, routing
from changeover.domain.members import Member, Step
from changeover.domain.routing import Change, Lead, Mode, RoutingState
from changeover.domain.stages import change_for
from changeover.errors import AheadOfLeader
from changeover.plan.load import parse_plan
from changeover.plan.members import GroupSpec, Reach, WaitSpec, reach_of_stage
from tests.core.plan.test_load import GOOD
from tests.support.examples import MANY

PLAN = parse_plan(GOOD.replace("phases:", "phases:\n  - {phase: shadow, soak: 1s}"), "test")
STAGES = PLAN.stages()
WITH_USERS = [each for each in STAGES if each.phase != "shadow"]


def group(order: int) -> GroupSpec:
    return GroupSpec(name="checkout", order=order)


def member(name: str, order: int, mode: Mode = Mode.BASELINE_ONLY, weight: int = 0,
           **more: object) -> Member:
    state = RoutingState(name, mode=mode, weight=weight, version=7)
    return Member(name, order, state, **more)  # type: ignore[arg-type]


def into(key: str, order: int, *waits: WaitSpec) -> Step:
    stage = next(each for each in STAGES if each.key == key)
    return replace(Step.into(stage, "shop", group(order)), waits_for=waits)


@pytest.mark.parametrize(("step", "there", "said"), [
    (into("gradual-10", 2), [member("orders", 1, Mode.GRADUAL, 500)],
     "orders (order 1) is at gradual 5 %, and 10 % must be reached there first"),
    (into("gradual-10", 2), [member("orders", 1, Mode.EMERGENCY_ROLLBACK)],
     "orders (order 1) is at emergency rollback, and 10 % must be reached there first"),
    (into("shadow", 2), [member("orders", 1)],
     "orders (order 1) is at baseline only, and copies must be reached there first"),
    (into("full", 2), [member("orders", 1, Mode.GRADUAL, 10_000)],
     "orders (order 1) is at gradual 100 %, and everyone must be reached there first"),
    (into("gradual-10", 3), [member("orders", 1, Mode.CANDIDATE_ONLY, 10_000)],
     "nobody of order 2 of group checkout is registered in this store; `changeover up` with its "
     "plan does that"),
    (into("beta-5", 1, WaitSpec(migration="stock", stage="full")), [],
     "stage full of stock must be reached first, and stock is not registered in this store; "
     "`changeover up` with its plan does that"),
    (into("beta-5", 1, WaitSpec(migration="stock")), [
        member("stock", 1, Mode.CANDIDATE_ONLY, 10_000, reached=frozenset({"full"}))],
     "the end of the cutover of stock must be reached first, and it is at candidate only"),
])
def test_a_step_says_what_it_waits_for(step: Step, there: list[Member], said: str) -> None:
    """Each with where the other one is and what is needed."""
    assert members.why_not(step, there) == said


@pytest.mark.parametrize(("step", "there"), [
    (into("gradual-10", 1), []),
    (into("gradual-10", 2), [member("orders", 1, Mode.GRADUAL, 1000)]),
    (into("gradual-10", 2), [member("orders", 1, Mode.GRADUAL, 1000), member("stock", 2)]),
    (into("full", 2), [member("orders", 1, Mode.GRADUAL, 5000, is_finished=True)]),
    (into("shadow", 2), [member("orders", 1, Mode.PARALLEL)]),
    (into("beta-5", 1, WaitSpec(migration="stock", stage="full")),
     [member("stock", 2, reached=frozenset({"full"}))]),
    (into("beta-5", 1, WaitSpec(migration="stock")), [member("stock", 1, is_finished=True)]),
])
def test_a_step_waits_for_nobody_else(step: Step, there: list[Member]) -> None:
    """As far as the leaders or less far; members of the same or higher order do not matter."""
    assert members.why_not(step, there) == ""


def test_what_was_skipped_is_not_reached_but_what_came_after_it_is() -> None:
    """Only users who were moved count."""
    assert members.reached_keys(STAGES, ["beta-5", "gradual-50", "gone"]) == {
        "shadow", "beta-5", "gradual-10", "gradual-50"}
    assert members.reached_keys(STAGES, []) == frozenset()


@given(st.sampled_from(STAGES))
def test_a_stage_reaches_what_its_change_of_the_routing_reaches(stage: object) -> None:
    """Else a member could wait for ever, or not at all."""
    assert isinstance(stage, type(STAGES[0]))
    state = RoutingState("shop")
    for each in STAGES[:stage.index + 1]:
        state = routing.apply(state, change_for(each, PLAN, 0))
    assert state.reach == reach_of_stage(stage)


@dataclass
class World:
    """Members that go on, are rolled back, and follow, one step at a time; as the store does it."""

    orders: dict[str, int]
    states: dict[str, RoutingState] = field(default_factory=dict)
    followed: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    asked: dict[str, tuple[Change, tuple[Lead, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.states = {name: RoutingState(name) for name in self.orders}

    def known(self) -> list[Member]:
        return [Member(name, order, self.states[name]) for name, order in self.orders.items()]

    def next_stage(self, name: str) -> Change | None:
        state = self.states[name]
        for stage in STAGES:
            if reach_of_stage(stage) > state.reach:
                return change_for(stage, PLAN, state.epoch)
        return None

    def ask(self, name: str) -> None:
        """Look whether the next stage may begin; others go on before it does."""
        change, state = self.next_stage(name), self.states[name]
        if change is None or state.mode is Mode.EMERGENCY_ROLLBACK:
            return
        step = Step(name, group(self.orders[name]), routing.apply(state, change).reach)
        if not members.why_not(step, self.known()):
            self.asked[name] = change, members.leads(step, self.known())

    def move(self, name: str) -> None:
        """Write what was asked for, in one transaction."""
        change, leads = self.asked.pop(name, (None, ()))
        state = self.states[name]
        if change is None or change.expected_epoch != state.epoch:
            return
        wished = routing.apply(state, change)
        try:
            members.refuse_ahead(leads, [self.states[lead.migration] for lead in leads])
        except AheadOfLeader:
            return
        if wished.mode in routing.ON_USERS:
            notes = {(name, lead.migration): (wished.epoch, lead.epoch) for lead in leads}
            if state.mode in routing.ON_USERS and any(
                    self.followed.get(key, note) != note for key, note in notes.items()):
                return
            self.followed |= notes
        self.states[name] = wished

    def roll_back(self, name: str) -> None:
        self.states[name] = routing.apply(
            self.states[name], Change(mode=Mode.EMERGENCY_ROLLBACK))

    def recover(self, name: str) -> None:
        state = self.states[name]
        if state.mode is Mode.EMERGENCY_ROLLBACK:
            self.states[name] = routing.apply(
                state, Change(mode=Mode.BASELINE_ONLY, is_by_person=True))

    def must_follow(self, name: str) -> bool:
        state = self.states[name]
        return state.mode in routing.ON_USERS and any(
            own == state.epoch and self.states[leader].epoch > epoch
            for (who, leader), (own, epoch) in self.followed.items() if who == name)

    def follow(self, name: str) -> None:
        if self.must_follow(name):
            self.roll_back(name)


ACTIONS = [*["ask and move"] * 5, *["ask", "move"] * 3, "recover", "roll_back", "follow"]
"""Mostly forwards: else nobody ever comes far."""


@MANY
@given(st.tuples(*[st.integers(1, 3)] * 3), st.integers(0, 2**32))
def test_no_member_is_ahead_of_its_leader_at_any_interleaving(
    orders: tuple[int, int, int], seed: int
) -> None:
    """But for the moment in which it has still to follow a rollback; then it goes no further."""
    world = World(dict(zip("abc", _without_gaps(orders), strict=True)))
    chance = random.Random(seed)
    for _ in range(300):
        action, name = chance.choice(ACTIONS), chance.choice("abc")
        before = dict(world.states)
        for part in action.split(" and "):
            getattr(world, part)(name)
        for who, order in world.orders.items():
            own = world.states[who]
            if world.must_follow(who):
                assert own.reach <= before[who].reach
                continue
            # copies of requests may go on when a leader went back: no user gets their answers
            ahead = [leader for leader, other in world.orders.items()
                     if other < order and own.mode in routing.ON_USERS
                     and world.states[leader].reach < own.reach]
            assert not ahead, (who, own, world.states)
    for name in sorted(world.orders, key=lambda each: -world.orders[each]):
        world.follow(name)
    for name in sorted(world.orders, key=lambda each: world.orders[each]):
        world.follow(name)  # those that follow followers
    assert not any(world.must_follow(name) for name in world.orders)


@MANY
@given(st.tuples(*[st.integers(1, 3)] * 3), st.integers(0, 2))
def test_a_rollback_takes_along_exactly_those_of_higher_order_with_users(
    orders: tuple[int, int, int], which: int
) -> None:
    """Leaders and members of the same order stay where they are."""
    names = "abc"
    world = World(dict(zip(names, _without_gaps(orders), strict=True)))
    for _ in range(len(STAGES)):
        for name in sorted(world.orders, key=lambda each: world.orders[each]):
            world.ask(name)
            world.move(name)
    back = names[which]
    world.roll_back(back)
    for _ in names:
        for name in names:
            world.follow(name)
    gone = {name for name in names if world.states[name].mode is Mode.EMERGENCY_ROLLBACK}
    assert gone == {back} | {
        name for name in names if world.orders[name] > world.orders[back]}


def _without_gaps(orders: tuple[int, ...]) -> list[int]:
    known = sorted({*orders})
    return [known.index(each) + 1 for each in orders]


def test_with_nobody_moved_there_is_nothing_to_compare() -> None:
    """The order of what can be reached."""
    reached = [Reach(), *map(reach_of_stage, STAGES)]
    assert reached == sorted(reached)
    assert [each.text for each in reached] == [
        "nobody", "copies only", "5 %", "10 %", "50 %", "everyone"]
