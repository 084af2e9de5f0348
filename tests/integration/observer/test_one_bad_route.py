"""One bad path: its trigger takes the route back alone, and everything else stays."""

from __future__ import annotations

import threading
from itertools import count

import httpx
import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import BUCKETS, Change, Mode
from changeover.procedures import going_back
from changeover.store import audit, firings, messages, routing, samples
from tests.integration.observer.conftest import Start, Watched
from tests.support.processes import LONGEST_PAUSE, meanwhile, wait_for

pytestmark = [pytest.mark.integration]
ORDERS = {"name": "orders-fail", "metric": "error_rate", "route": "orders", "above": "40%",
          "for": "1s", "over": "5s", "min_samples": 2, "action": "rollback"}
ANYBODY = {**ORDERS, "name": "anybody", "route": None, "above": "90%"}
ROUTES = [{"name": "login", "path": {"exact": "/login"}, "move": "never"},
          {"name": "orders", "path": {"prefix": "/orders"}}]


def asked(watched: Watched, path: str, key: str, *, fails: bool = False) -> str:
    """Return who answers a user; a candidate with the fault fails those who say so."""
    headers = {"x-user-id": key} | ({"x-cohort": "bad"} if fails else {})
    answer = httpx.get(watched.bench.url + path, headers=headers, timeout=LONGEST_PAUSE)
    return str(answer.json().get("served_by", answer.status_code))


def move(watched: Watched, mode: Mode, weight: int, orders: int) -> None:
    """Move a share of the users, and one of a route."""
    for each in dict.fromkeys((Mode.GRADUAL, mode)):
        state = routing.change(
            watched.store, "bench", Change(mode=each, weight=weight, routes=(("orders", orders),)),
            Author("test", "test"), now=clock.now())
    watched.gateway.publish(watched.plan, state)


@pytest.mark.parametrize(("mode", "weight", "orders"), [
    (Mode.GRADUAL, 9_000, 8_000), (Mode.GRADUAL, 9_000, BUCKETS),
    (Mode.CANDIDATE_ONLY, BUCKETS, BUCKETS),
], ids=["split", "moved", "everyone"])
def test_bad_route_is_rolled_back_alone(
    start: Start, mode: Mode, weight: int, orders: int
) -> None:
    """Whether its own share decides, all of it has moved, or everyone has; audit, message and
    firing name it, once."""
    watched = start(ORDERS, ANYBODY, routes=ROUTES)
    move(watched, mode, weight, orders)
    watched.bench.fault("cohort")
    keys = count()

    def send(done: threading.Event) -> None:
        while not done.wait(0.01):
            asked(watched, "/orders/7?x=1", f"u{next(keys)}", fails=True)
            for path in ("/", "/orders-old", "/login"):
                asked(watched, path, f"u{next(keys)}")

    with meanwhile(send):
        wait_for(lambda: watched.state().kept_routes == ("orders",), what="rollback of the route")
        wait_for(lambda: firings.all_of(watched.store, "bench"), what="firing")
        goal = next(keys) + 300
        wait_for(lambda: next(keys) > goal, what="traffic after it")
    state = watched.state()
    assert (state.mode, state.weight, state.routes, state.epoch) == (mode, weight, (), 0)
    assert {asked(watched, "/orders/1", f"u{number}") for number in range(20)} == {"baseline"}
    assert {asked(watched, "/login", f"u{number}") for number in range(20)} == {"baseline"}
    assert "candidate" in {asked(watched, "/", f"u{number}") for number in range(20)}
    (firing,) = firings.all_of(watched.store, "bench")
    assert (firing.trigger, firing.did) == ("orders-fail", "rollback of route:orders")
    assert firing.published_at is not None
    titles = [one.title for one in messages.newest(watched.store, "bench")]
    assert "rollback of route:orders of bench" in titles
    (event,) = [each for each in audit.events(watched.store, "bench")
                if each.kind == "rollback.partial"]
    assert event.data["scope"] == "route:orders"
    assert event.data["reason"].startswith(
        "trigger orders-fail: error_rate of candidate in route orders")


def test_person_takes_a_route_back_by_its_scope(start: Start) -> None:
    """What the command and the console's page do: once for each occasion, and the rest stays."""
    watched = start(ORDERS, routes=ROUTES)
    move(watched, Mode.GRADUAL, 5_000, BUCKETS)
    assert asked(watched, "/orders", "u1") == "candidate"
    for _ in range(2):
        done = going_back.by_scope(
            watched.site(), "route:orders", Cause("ann", "totals are wrong"), "form-1")
    assert "route:orders is back at the baseline" in done.text
    assert watched.state().kept_routes == ("orders",)
    assert asked(watched, "/orders", "u1") == "baseline"
    assert watched.state().weight == 5_000
    kinds = [each.kind for each in audit.events(watched.store, "bench")]
    assert kinds.count("rollback.partial") == 1


def test_requests_of_a_route_are_measured_apart(start: Start) -> None:
    """Of both systems, also of a request that names no user."""
    watched = start(ORDERS, routes=ROUTES)
    move(watched, Mode.GRADUAL, 0, BUCKETS)
    for number in range(10):
        asked(watched, "/orders", f"u{number}")
        asked(watched, "/", f"u{number}")

    def measured(system: str, part: str | None) -> int:
        begin, end = clock.from_timestamp(0), clock.now()
        return samples.window(watched.store, "bench", system, start=begin, end=end,
                              segment=part).requests

    wait_for(lambda: measured("candidate", "route:orders") == 10, what="samples")
    assert measured("candidate", None) == 10
    assert measured("baseline", "route:orders") == 0
    assert measured("baseline", None) >= 10
