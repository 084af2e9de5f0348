"""A group's members on real databases: who may be moved, and who must go back with whom."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause, Rollback, RollbackSeverity
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.domain.stages import change_for
from changeover.errors import AheadOfLeader, InvalidPlan, Refused
from changeover.observer.following import Following, reason_of
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.procedures import gradual_return, rollback
from changeover.procedures import members as procedures
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import cutovers, members, plans, rollbacks, routing
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD
from tests.core.plan.test_together import WAIT

ANN = Author("ann", "by hand")


def plan_of(name: str, order: int, full: str = "") -> Plan:
    text = GOOD.replace("migration: shop", f"migration: {name}\n"
                        f"group: {{name: checkout, order: {order}}}")
    return parse_plan(text.replace("phase: full,", f"phase: full, {full}"), name)


def site(store: Store, name: str, order: int, full: str = "") -> Site:
    """Return a registered member; nothing of it runs."""
    plan = plan_of(name, order, full)
    plans.register(store, plan, source="test", now=clock.now())
    return Site(Home(Path("none")), plan, store)


def move(at: Site, key: str) -> RoutingState:
    """Put a stage's share of users on the candidate, as a cutover does, without a gateway."""
    present = routing.read(at.store, at.migration)
    change = change_for(at.plan.stage(key), at.plan, present.epoch)
    change = procedures.behind_leaders(at, present, change)
    return routing.change(at.store, at.migration, change, ANN, now=clock.now())


def roll_back(at: Site, reason: str = "") -> RoutingState:
    change = Change(mode=Mode.EMERGENCY_ROLLBACK)
    state = routing.change(at.store, at.migration, change, ANN, now=clock.now())
    if reason:
        rollbacks.begin(at.store, Rollback(
            at.migration, state.epoch, reason, RollbackSeverity.HIGH, "all", "ann", clock.now()))
    return state


def step_back(at: Site) -> RoutingState:
    """Make a step of a return: half of those who are left."""
    present = routing.read(at.store, at.migration)
    change = Change(mode=Mode.RETURNING, weight=present.weight // 2)
    return routing.change(at.store, at.migration, change, ANN, now=clock.now())


def wait(at: Site, key: str) -> str:
    return members.why_wait(at.store, at.plan, at.plan.stage(key))


def test_a_follower_is_moved_only_as_far_as_its_leader(store: Store) -> None:
    """By a cutover it waits; by hand it is refused; the leader waits for nobody."""
    shop = site(store, "follower", 2)
    assert "nobody of order 1 of group checkout is registered" in wait(shop, "beta-5")
    orders = site(store, "orders", 1)
    assert "orders (order 1) is at baseline only" in wait(shop, "beta-5")
    with pytest.raises(AheadOfLeader, match="follower was not moved to 5 % because orders"):
        move(shop, "beta-5")
    move(orders, "beta-5")
    move(orders, "gradual-10")
    assert wait(shop, "gradual-10") == ""
    assert move(shop, "gradual-10").weight == 1000
    assert "50 % must be reached there first" in wait(shop, "gradual-50")
    at_orders = routing.read(store, "orders")
    for change in (Change(mode=Mode.BASELINE_ONLY), Change(mode=Mode.GRADUAL, weight=500)):
        with pytest.raises(Refused, match="users were moved to the candidates of follower"):
            procedures.refuse_leaving(orders, at_orders, change, "not done")
    procedures.refuse_leaving(shop, routing.read(store, "follower"),
                              Change(mode=Mode.BASELINE_ONLY), "not done")
    assert [(each.migration, each.order, each.where) for each in members.of_group(
        store, "checkout")] == [
        ("orders", 1, "gradual 10 % + beta"), ("follower", 2, "gradual 10 % + beta")]


def test_what_changed_between_asking_and_writing_is_seen_by_the_store(store: Store) -> None:
    """The leader is rolled back after the follower looked, and before it was moved."""
    orders, shop = site(store, "orders", 1), site(store, "follower", 2)
    move(orders, "beta-5")
    present = routing.read(store, "follower")
    change = procedures.behind_leaders(
        shop, present, change_for(shop.plan.stage("beta-5"), shop.plan, present.epoch))
    roll_back(orders)
    with pytest.raises(AheadOfLeader, match="orders, which goes first, is at emergency_rollback"):
        routing.change(store, "follower", change, ANN, now=clock.now())
    assert routing.read(store, "follower") == present
    assert members.overtaken(store, "follower") == []


def test_a_follower_must_go_back_until_it_did_also_when_the_leader_begins_anew(
    store: Store
) -> None:
    """Its host was down meanwhile; it goes no further before it followed."""
    orders, shop = site(store, "orders", 1), site(store, "follower", 2)
    side = site(store, "side", 1)
    for each in (orders, side, shop):
        move(each, "beta-5")
    assert members.with_users(store, "orders") == ["follower"]
    roll_back(orders, "trigger errors: 5 % is above 1 %")
    [due] = members.overtaken(store, "follower")
    assert reason_of(due) == "follows the rollback of orders: trigger errors: 5 % is above 1 %"
    assert members.left_behind(store, "orders") == [due]
    assert members.overtaken(store, "side") == members.left_behind(store, "side") == []
    routing.change(store, "orders", Change(mode=Mode.BASELINE_ONLY, is_by_person=True), ANN,
                   now=clock.now())
    for key in ("beta-5", "gradual-10"):
        move(orders, key)
    move(side, "gradual-10")
    assert len(members.overtaken(store, "follower")) == 1
    with pytest.raises(AheadOfLeader, match="orders, which goes first, was rolled back since"):
        move(shop, "gradual-10")
    roll_back(shop)
    assert members.overtaken(store, "follower") == members.left_behind(store, "orders") == []
    routing.change(store, "follower", Change(mode=Mode.BASELINE_ONLY, is_by_person=True), ANN,
                   now=clock.now())
    move(shop, "gradual-10")
    assert members.overtaken(store, "follower") == []


def test_those_of_higher_order_go_back_first_and_are_waited_for_a_moment(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that is down holds up nobody."""
    orders, shop, mail = (site(store, name, order) for order, name in
                          enumerate(("orders", "follower", "mail"), 1))
    for each in (orders, shop, mail):
        move(each, "beta-5")
    roll_back(orders, "trigger errors")
    looking = {at.migration: Following(at) for at in (shop, mail)}

    def due(at: Site) -> str | None:
        state = routing.read(store, at.migration)
        looking[at.migration].look(state)
        return looking[at.migration].due(state)

    assert due(mail) == "follows the rollback of orders: trigger errors"
    assert due(shop) is None
    monkeypatch.setattr("changeover.observer.following.LATER_FIRST_SECONDS", 0.0)
    assert due(shop) == "follows the rollback of orders: trigger errors"
    looking["follower"].put_off()
    assert due(shop) is None
    monkeypatch.undo()
    looking["follower"] = Following(shop)
    assert due(shop) is None
    roll_back(mail)
    assert due(shop) == "follows the rollback of orders: trigger errors"
    assert due(mail) is None


def test_a_follower_on_its_way_back_in_steps_goes_at_once_when_its_leader_goes(
    store: Store,
) -> None:
    """The first step has given it a new epoch, and most of its users are still moved.

    It makes no difference whether the leader went before that step or after it, nor whether the
    leader returns in steps itself.
    """
    orders, shop = site(store, "orders", 1), site(store, "follower", 2)
    move(orders, "gradual-10")
    move(shop, "gradual-10")
    step_back(shop)
    assert members.overtaken(store, "follower") == []
    # its users still need the leader's candidate
    assert members.with_users(store, "orders") == ["follower"]
    step_back(orders)
    (found,) = members.overtaken(store, "follower")
    assert found.leader == "orders"
    following = Following(shop)
    following.look(routing.read(store, "follower"))
    assert following.due(routing.read(store, "follower")) is not None
    step_back(shop)
    assert members.overtaken(store, "follower") == [found]
    roll_back(shop)
    assert members.overtaken(store, "follower") == []
    assert members.left_behind(store, "orders") == []


def test_a_return_in_steps_is_refused_from_another_members_home(
    store: Store, tmp_path: Path
) -> None:
    """As a rollback at once is: the routes of this home are the other member's."""
    orders, shop = site(store, "orders", 1), site(store, "follower", 2)
    for each in (orders, shop):
        move(each, "gradual-10")
    before = routing.read(store, "follower")
    home = Home(tmp_path)
    home.save_settings({"migration": "orders"})
    there = Site(home, shop.plan, store)
    for begin in (gradual_return.begin, rollback.start):
        with pytest.raises(Refused, match="this home serves orders, not follower"):
            begin(there, Cause("ann", "slow"))
    assert routing.read(store, "follower") == before


def test_the_rollback_of_a_follower_takes_no_leader_along(store: Store) -> None:
    """Nor one of the same order."""
    orders, shop, mail = (site(store, name, order) for name, order in (
        ("orders", 1), ("follower", 2), ("mail", 2)))
    for each in (orders, shop, mail):
        move(each, "beta-5")
    roll_back(shop)
    assert [members.overtaken(store, each.migration) for each in (orders, mail)] == [[], []]


def test_a_stage_is_waited_for_by_its_name(store: Store) -> None:
    """And the end of a whole cutover; a phase that was carried out alone is none."""
    orders = site(store, "orders", 1)
    shop = site(store, "follower", 1, full=WAIT % ("orders", "gradual-10") + ",")
    mail = site(store, "mail", 1, full="waits_for: [{migration: orders}],")
    begun = cutovers.begin(store, "orders", flow_run_id="run", now=clock.now())
    for stage in orders.plan.stages():
        seen = wait(shop, "full")
        assert bool(seen) == (stage.key in ("beta-5", "gradual-10")), stage
        move(orders, stage.key)
        cutovers.enter_stage(store, begun.id, stage, now=clock.now())
    assert "the end of the cutover of orders must be reached first" in wait(mail, "full")
    cutovers.finish(store, begun.id, CutoverStatus.PROMOTED, outcome="", now=clock.now())
    assert wait(mail, "full") == ""
    [leader] = [each for each in members.of_group(store, "checkout") if each.is_finished]
    assert (leader.stage, leader.stands) == ("full", "promoted")
    assert "mail is at baseline only" in procedures.unfinished(orders)
    with pytest.raises(Refused, match="not retired because not every member of group checkout"):
        procedures.refuse_unfinished(orders)


def test_a_plan_is_refused_beside_those_that_are_registered(store: Store, tmp_path: Path) -> None:
    """With the line of its file."""
    site(store, "orders", 1)
    file = tmp_path / "shop.yaml"
    file.write_text(GOOD.replace("phase: full,", "phase: full, " + WAIT % ("orders", "ful") + ",")
                    + "group: {name: checkout, order: 3}\n")
    plan = parse_plan(file.read_text(), "shop")
    with pytest.raises(InvalidPlan) as refused:
        procedures.refuse_beside_registered(store, plan, file)
    assert refused.value.problems == [
        "line 14, phases[2].waits_for[0].stage: orders has no stage ful; allowed are beta-5, "
        "gradual-10, gradual-50, full, or none for its end"]
    later = plan_of("late", 3)
    assert procedures.refuse_beside_registered(store, later, file) == [
        "nobody of order 2 of group checkout is registered in this store yet; this plan's stages "
        "wait for it"]


def test_a_rollback_and_a_promotion_at_the_same_moment_leave_nobody_behind(store: Store) -> None:
    """Whoever is first: either the follower is not moved, or it knows that it must go back."""
    orders, shop = site(store, "orders", 1), site(store, "follower", 2)
    for _ in range(8):
        move(orders, "beta-5")
        start = threading.Barrier(2)

        def promote() -> None:
            start.wait()  # noqa: B023  the thread ends within the round
            try:
                move(shop, "beta-5")
            except AheadOfLeader:
                return

        thread = threading.Thread(target=promote)
        thread.start()
        start.wait()
        roll_back(orders)
        thread.join()
        is_moved = routing.read(store, "follower").mode is Mode.GRADUAL
        assert len(members.overtaken(store, "follower")) == is_moved
        for each in (shop, orders):
            roll_back(each)
            routing.change(store, each.migration, Change(
                mode=Mode.BASELINE_ONLY, is_by_person=True), ANN, now=clock.now())
