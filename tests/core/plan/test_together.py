"""Several plans as one: what is refused in one of them, and beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.plan import together
from changeover.plan.load import load_plan, parse_plan
from changeover.plan.members import FINISHED, Reach, reach_of_stage
from changeover.plan.model import Plan
from tests.core.plan.test_load import GOOD, ROOT, problems
from tests.support.examples import MANY

EXAMPLES = ROOT / "examples" / "group"
WAIT = "waits_for: [{migration: %s, stage: %s}]"


@cache
def member(name: str, order: int, beta: str = "", full: str = "", group: str = "checkout") -> Plan:
    """Return a plan of a group; `beta` and `full` are further keys of these phases."""
    text = GOOD.replace("migration: shop", f"migration: {name}\n"
                        f"group: {{name: {group}, order: {order}}}")
    text = text.replace("phase: beta,", f"phase: beta, {beta + ',' if beta else ''}")
    text = text.replace("phase: full,", f"phase: full, {full + ',' if full else ''}")
    return parse_plan(text, name)


def found(plan: Plan, *others: Plan, are_all: bool = False) -> list[str]:
    return [f"{'.'.join(map(str, path))}: {text}"
            for path, text in together.problems(plan, others, are_all=are_all)]


@pytest.mark.parametrize(("written", "said"), [
    ("{name: checkout, order: 1.5}", "line 2, group.order: 1.5 must be a whole number"),
    ("{name: checkout, order: two}", "line 2, group.order: 'two' must be a whole number"),
    ("{name: checkout, order: true}", "line 2, group.order: True must be a whole number"),
    ("{name: checkout, order: 0}",
     "line 2, group.order: 0: input should be greater than or equal to 1"),
    ("{name: checkout}", "line 2, group.order: is required but missing"),
    ("{order: 1}", "line 2, group.name: is required but missing"),
    ("{name: Check out, order: 1}", "'Check out' does not match ^[a-z][a-z0-9_-]{0,62}$"),
    ("{name: checkout, ordr: 1}",
     "'ordr' is unknown, did you mean 'order'?; allowed are name, order"),
    ("checkout", "line 2, group: 'checkout' must be a mapping of names to values"),
])
def test_a_group_that_cannot_be_is_refused_with_its_line(written: str, said: str) -> None:
    """One message: what, where, and what is allowed."""
    text = GOOD.replace("migration: shop", f"migration: shop\ngroup: {written}")
    assert any(said in each for each in problems(text)), problems(text)


@pytest.mark.parametrize(("group", "wait", "said"), [
    ("", WAIT % ("orders", "full"),
     "line 14, phases[2].waits_for[0]: `waits_for` needs `group: {name: ..., order: ...}`"),
    ("group: {name: checkout, order: 2}", WAIT % ("shop", "beta-5"),
     "a stage cannot wait for its own migration shop; allowed are other members of group checkout"),
    ("group: {name: checkout, order: 2}", "waits_for: [{migraton: orders}]",
     "did you mean 'migration'?; allowed are migration, stage"),
    ("group: {name: checkout, order: 2}", "waits_for: orders", "'orders' must be a list"),
    ("group: {name: checkout, order: 2}", "waits_for: [{migration: orders, stage: 25}]",
     "25 must be text"),
])
def test_a_wait_that_cannot_be_is_refused_with_its_line(group: str, wait: str, said: str) -> None:
    """As any other key of a plan."""
    text = GOOD.replace("phase: full,", f"phase: full, {wait},") + group
    assert any(said in each for each in problems(text)), problems(text)


def test_a_deprecation_waits_for_no_stage() -> None:
    """It waits for all members by itself."""
    text = GOOD.replace("triggers:", "  - {phase: deprecation, after: 1h, waits_for: []}\n"
                        "triggers:")
    assert "phase deprecation does not have waits_for" in problems(text)[0]


def test_stages_inherit_what_they_wait_for_from_their_phase() -> None:
    """A stage's own replaces the phase's."""
    text = GOOD.replace("stages: [{percent: 10,", WAIT % ("orders", "beta-5") + ", stages: ["
                        "{percent: 10, " + WAIT % ("orders", "full") + ",")
    stages = parse_plan(text + "group: {name: checkout, order: 2}", "x").stages()
    assert [[wait.text for wait in stage.waits_for] for stage in stages] == [
        [], ["stage full of orders"], ["stage beta-5 of orders"], []]


def test_unknown_members_and_stages_are_refused_with_those_that_are_allowed() -> None:
    """Who is not registered may come later; who is known must fit."""
    orders = member("orders", 1)
    other = member("loans", 1, group="bank")
    wrong = member("shop", 2, full=WAIT % ("orders", "gradual-25"))
    assert found(wrong, orders) == [
        "phases.2.waits_for.0.stage: orders has no stage gradual-25; allowed are beta-5, "
        "gradual-10, gradual-50, full, or none for its end"]
    strange = member("shop", 2, full=WAIT % ("loans", "full"))
    assert found(strange, orders, other) == [
        "phases.2.waits_for.0.migration: loans is not of this group; allowed are its members: "
        "orders"]
    early = member("shop", 2, full=WAIT % ("stock", "full"))
    assert found(early, orders) == []
    assert together.missing(early, [orders]) == [
        "stock, which a stage waits for, is not registered in this store yet"]
    assert found(early, orders, are_all=True) == [
        "phases.2.waits_for.0.migration: no plan of this group is of migration stock; allowed are "
        "orders"]
    assert together.missing(member("shop", 3), [orders]) == [
        "nobody of order 2 of group checkout is registered in this store yet; this plan's stages "
        "wait for it"]


def test_members_that_move_other_users_are_named() -> None:
    """Percentages are compared, so the users behind them should be the same."""
    orders = member("orders", 1)
    salted = orders.model_copy(update={
        "routing": orders.routing.model_copy(update={"salt": "spring"})})
    assert together.missing(member("shop", 2), [orders]) == []
    assert together.missing(member("shop", 2), [salted]) == [
        "orders has another routing.key or salt: at the same percentage other users are moved "
        "there"]


def test_the_same_order_twice_goes_side_by_side() -> None:
    """Neither waits for the other, and one may still wait for a stage of the other."""
    orders, stock = member("orders", 1), member("stock", 1, beta=WAIT % ("orders", "beta-5"))
    assert found(orders, stock) == found(stock, orders) == []
    closed = member("orders", 1, beta=WAIT % ("stock", "beta-5"))
    assert found(closed, stock) == [
        "phases.0.waits_for.0: the stages wait for one another in a circle: orders beta-5 waits "
        "for stock beta-5 waits for orders beta-5; allowed is any order without one"]


def test_a_circle_over_the_order_is_found_from_both_sides() -> None:
    """The leader waits for a stage of its follower that waits for the leader's own."""
    orders = member("orders", 1, beta=WAIT % ("shop", "gradual-10"))
    shop = member("shop", 2)
    said = found(orders, shop)
    assert len(said) == 1
    assert said[0].startswith("phases.0.waits_for.0: the stages wait for one another in a circle")
    assert found(shop, orders)[0].startswith("group.order: the stages wait for one another")
    later = member("orders", 1, full=WAIT % ("shop", "beta-5"))
    assert found(later, shop) == found(shop, later) == []


names = st.sampled_from(["a", "b", "c"])
keys = st.sampled_from(["beta-5", "gradual-10", "gradual-50", "full", FINISHED])


@MANY
@given(st.tuples(*[st.integers(1, 3)] * 3),
       st.lists(st.tuples(names, keys, names, keys), max_size=4))
def test_without_a_circle_every_stage_can_be_reached(
    orders: Sequence[int], waits: Sequence[tuple[str, str, str, str]]
) -> None:
    """And with one some stage never is: no plan is refused or allowed wrongly."""
    plans = {name: _waiting(member(name, orders[place]), [
        (key, other, stage) for who, key, other, stage in waits if who == name != other])
        for place, name in enumerate("abc")}
    has_circle = any(together.circle_of(plans, name) for name in plans)
    assert has_circle == (not _all_finish(plans))


def _waiting(plan: Plan, waits: list[tuple[str, str, str]]) -> Plan:
    """Return the plan with stages that wait; of stages that there are."""
    if not waits:
        return plan
    document = plan.model_dump(mode="json", by_alias=True, exclude_none=True)
    for key, other, stage in waits:
        part = {"beta-5": document["phases"][0], "full": document["phases"][2],
                "gradual-10": document["phases"][1]["stages"][0],
                "gradual-50": document["phases"][1]["stages"][1]}.get(key)
        if part is not None:
            part.setdefault("waits_for", []).append({"migration": other, "stage": stage})
    return Plan.model_validate(document)


def _all_finish(plans: dict[str, Plan]) -> bool:
    """Whether every plan comes to its end when each goes on as soon as it may."""
    at = dict.fromkeys(plans, -1)
    reached = {(name, ""): False for name in plans}

    def far(name: str) -> Reach:
        return reach_of_stage(plans[name].stages()[at[name]]) if at[name] >= 0 else Reach()

    def may(name: str) -> bool:
        plan = plans[name]
        stage = plan.stages()[at[name] + 1]
        assert plan.group
        leads = [other for other, each in plans.items()
                 if each.group and each.group.order < plan.group.order]
        return all(far(each) >= reach_of_stage(stage) for each in leads) and all(
            reached.get((wait.migration, wait.stage), False) for wait in stage.waits_for)

    moved = True
    while moved:
        moved = False
        for name, plan in plans.items():
            stages = plan.stages()
            if at[name] + 1 < len(stages) and may(name):
                at[name] += 1
                reached[name, stages[at[name]].key] = moved = True
            if at[name] + 1 == len(stages) and not reached[name, ""]:
                reached[name, ""] = moved = True
    return all(reached[name, ""] for name in plans)


@pytest.mark.parametrize(("file", "beside"), [("orders", "checkout"), ("checkout", "orders")])
def test_the_example_pair_can_work_together(file: str, beside: str) -> None:
    """From both sides, with nothing that a person should know of the other."""
    own, other = (load_plan(EXAMPLES / f"{name}.yaml") for name in (file, beside))
    assert found(own, other, are_all=True) == together.missing(own, [other]) == []
