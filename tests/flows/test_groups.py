"""Two migrations as one: they go forward in order, and a rollback of the first takes both back."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import Mode
from changeover.domain.stages import change_for
from changeover.plan.windows import DAYS
from changeover.procedures import rollback, steering
from changeover.procedures.members import unfinished
from changeover.site.site import Site
from changeover.store import audit, cutovers, messages, rollbacks, routing
from tests.integration.conftest import make_plan
from tests.support import commands
from tests.support.processes import LONGEST_PAUSE, kill, running, wait_for
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

STAGES = [
    {"phase": "gradual", "stages": [
        {"percent": 10, "soak": "1h"}, {"percent": 50, "soak": "1h"}]},
    {"phase": "full", "soak": "1h"},
    {"phase": "deprecation", "after": "0s"},
]
Start = Callable[..., SopSite]


@pytest.fixture
def start(server: PrefectServer, tmp_path: Path) -> Iterator[Start]:
    """Starts a member of group checkout: its own home, gateway and systems; one store for all."""
    with ExitStack() as stack:
        def begin(name: str, order: int, **more: Any) -> SopSite:
            plan = make_plan(**{"health_timeout": "60s", "phases": STAGES, "migration": name,
                                "group": {"name": "checkout", "order": order}, **more})
            directory = tmp_path / name
            directory.mkdir()
            found = stack.enter_context(sop_site(
                server, plan, directory, is_measured=False,
                store_url=f"sqlite:///{tmp_path / 'store.db'}"))
            found.home.save_settings({"migration": name, "api_url": server.url})
            return found

        yield begin


@contextmanager
def observed(site: SopSite) -> Iterator[Popen[bytes]]:
    """Run a member's observer."""
    command = [sys.executable, "-m", "changeover.observer", "--home", str(site.home.root),
               "--migration", site.plan.migration, "--api-url", site.server.url]
    with running(command, site.home.logs / "observer.log") as process:
        yield process


def changeover(site: SopSite, *arguments: str, code: int = 0) -> str:
    return commands.changeover(site.home.root, *arguments, code=code)


def group(site: SopSite) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(changeover(site, "status", "--output", "json"))["group"]
    return found


def end_soak(site: SopSite) -> str:
    return changeover(site, "promote-now", "--approver", "ann", "--reason", "it was proved")


def weight(site: SopSite) -> int:
    return routing.read(site.store, site.plan.migration).weight


def killed_rollback(site: SopSite, reason: str) -> None:
    """Begin a rollback as a command whose process is killed once the store says it."""
    child = os.fork()
    if child == 0:
        rollback.publish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
        rollback.start(Site.open(site.home.root), Cause("ann", reason))
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def test_two_migrations_go_forward_in_order_and_one_rollback_takes_both_back(start: Start) -> None:
    """Whoever is killed: the one that rolls back, and the observer of the one that follows."""
    shop = start("shop", 2)
    run = shop.start("cutover")
    waits = shop.attempt("cutover", run)
    assert waits.state_name == "WaitingForGroup"
    assert "nobody of order 1 of group checkout is registered in this store" in waits.said
    orders = start("orders", 1)
    first = orders.start("cutover")
    with observed(orders), observed(shop) as watcher:
        assert orders.attempt("cutover", first).state_name == "Soaking"
        _goes_on(shop, run)
        assert (weight(orders), weight(shop)) == (1000, 1000)
        _waits_for_the_leader(shop, run)
        end_soak(orders)
        assert orders.attempt("cutover", first).state_name == "Soaking"
        _goes_on(shop, run)
        assert (weight(orders), weight(shop)) == (5000, 5000)
        kill(watcher)
        killed_rollback(orders, "wrong totals")
        assert "HAS NOT FOLLOWED THE ROLLBACK OF orders" in changeover(orders, "status")
        assert weight(shop) == 5000
        wait_for(lambda: _told(orders), seconds=60, what="people are told who has not followed")
        with observed(shop):
            _has_followed(shop)
    assert group(shop)["members"][1]["must_follow"] is None
    assert [orders.carry_on("cutover", first).state_name, shop.carry_on("cutover", run).state_name
            ] == ["RolledBack", "RolledBack"]
    _never_ahead(orders, shop)


def test_a_stage_with_hours_of_its_own_need_not_wait_for_the_plans(start: Start) -> None:
    """Its leader is far enough outside the plan's hours: the observer wakes it at once."""
    tomorrow = DAYS[(clock.now() + timedelta(days=1)).weekday()]
    always, (gradual, *rest) = [{"days": "mon-sun", "zone": "UTC"}], STAGES
    shop = start("shop", 2, allowed=[{"days": tomorrow, "zone": "UTC"}],
                 phases=[{**gradual, "allowed": always}, *rest])
    run = shop.start("cutover")
    assert shop.attempt("cutover", run).state_name == "WaitingForGroup"
    opened = Site.open(shop.home.root)
    assert steering.oversleeping(opened, clock.now()) is None
    orders = start("orders", 1)
    assert orders.attempt("cutover", orders.start("cutover")).state_name == "Soaking"
    found = steering.oversleeping(opened, clock.now())  # what the observer wakes
    assert found is not None and found.id == run


def test_a_baseline_stays_until_every_member_has_finished(start: Start) -> None:
    """Until then somebody may have to go back; in the store both were promoted by hand."""
    orders, shop = start("orders", 1), start("shop", 2)
    _promoted(orders)
    run = orders.start("deprecation")
    waits = orders.attempt("deprecation", run)
    assert waits.state_name == "WaitingForGroup"
    assert "not every member of group checkout has finished: shop is at baseline only" in waits.said
    _promoted(shop)
    assert unfinished(Site.open(orders.home.root)) == ""


def _promoted(site: SopSite) -> None:
    """Have a whole cutover that was promoted in the store."""
    name, now = site.plan.migration, clock.now()
    begun = cutovers.begin(site.store, name, flow_run_id=name, now=now)
    for stage in site.plan.stages():
        routing.change(site.store, name, change_for(stage, site.plan, 0), Author("ann", ""),
                       now=now)
        cutovers.enter_stage(site.store, begun.id, stage, now=now)
    cutovers.finish(site.store, begun.id, CutoverStatus.PROMOTED, outcome="", now=now)


def _goes_on(site: SopSite, run: str) -> None:
    """The observer wakes the run that waits, and its stage begins."""
    wait_for(lambda: site._run(run).state_name == "Continuing", what="the run is woken")
    assert site.attempt("cutover", run).state_name == "Soaking"


def _waits_for_the_leader(shop: SopSite, run: str) -> None:
    """Its soak is over, and nothing that people say moves it ahead."""
    assert group(shop)["will_wait"].startswith("gradual 50 % waits: orders (order 1) is at")
    said = end_soak(shop)
    assert "note: gradual 50 % waits: orders (order 1) is at gradual 10 %" in said
    waits = shop.attempt("cutover", run)
    assert waits.state_name == "WaitingForGroup"
    assert "50 % must be reached there first" in waits.said
    assert "WAITS FOR ITS GROUP: gradual 50 % waits: orders" in changeover(shop, "status")
    changeover(shop, "pause", "--reason", "lunch")
    assert shop.attempt("cutover", run).state_name == "Paused"
    changeover(shop, "resume", "--reason", "go on")
    assert shop.attempt("cutover", run).state_name == "WaitingForGroup"
    kinds = [event.kind for event in audit.events(shop.store, "shop")]
    assert kinds.count("stage.waits") == 2  # once before each stage


def _told(orders: SopSite) -> bool:
    return any("shop has not followed the rollback of orders" in each.title
               for each in messages.newest(orders.store, "orders"))


def _has_followed(shop: SopSite) -> None:
    """Its observer finds in the store that it must go back; the rest of the SOP follows."""
    def carried() -> str | None:
        found = rollbacks.latest(shop.store, "shop")
        return found.flow_run_id if found else None

    wait_for(carried, what="rollback/main of the follower")
    found = rollbacks.latest(shop.store, "shop")
    assert found
    assert found.reason == "follows the rollback of orders: wrong totals"
    assert routing.read(shop.store, "shop").mode is Mode.EMERGENCY_ROLLBACK
    wait_for(lambda: shop.bench.gateway.served() == routing.read(shop.store, "shop").order,
             what="the gateway follows")
    users = {httpx.get(shop.bench.url, headers={"x-user-id": str(number)}, timeout=LONGEST_PAUSE
                       ).json()["served_by"] for number in range(30)}
    assert users == {"baseline"}
    assert shop.carry_on("rollback", str(carried())).state_name in ("RolledBack", "NeedsPerson")
    assert len(rollbacks.all_of(shop.store, "shop")) == 1


def _never_ahead(orders: SopSite, shop: SopSite) -> None:
    """By the audit of both, no user of the follower was moved before the leader's."""
    events = sorted(
        (event for name in ("orders", "shop") for event in audit.events(orders.store, name)
         if event.kind == "routing.changed"), key=lambda event: event.at)
    at = {"orders": 0, "shop": 0}
    for event in events:
        at[event.migration] = event.data["weight"]
        assert at["shop"] <= at["orders"]
    assert audit.verify(orders.store, "orders") == audit.verify(shop.store, "shop") == []
