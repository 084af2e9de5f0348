"""A worker that fails: its item goes to the baseline, and when the plan says so, everyone does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.routing import Mode
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.store import audit, rollbacks, routing
from tests.integration.conftest import make_plan, start_bench
from tests.integration.console.conftest import Serve, Served, started
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Served]:
    """A console beside a real Envoy; the plan rolls back at the first failed item."""
    plan: Plan = make_plan(claims={"rollback_on_failure": True})
    home = Home(tmp_path / "home")
    home.create()
    with ExitStack() as stack:
        stack.enter_context(contextmanager(start_bench)(plan, home.root))
        served = started(stack, home, plan)
        state = served.move(Mode.CANDIDATE_ONLY)
        gateway_of(served).publish(plan, state)
        yield served


def gateway_of(served: Served) -> Gateway:
    return Gateway(served.home.gateway_files, patience=LONGEST_PAUSE)


def fail(served: Served, item: str = "a") -> dict:
    client = served.client(served.token())
    claim = client.post(f"/v1/claims/{item}", json={"system": "candidate", "holder": "new-1"})
    answer = client.post(f"/v1/claims/{item}/fail",
                         json={"token": claim.json()["token"], "reason": "model crashed"})
    assert answer.is_success, answer.text
    return answer.json()


def test_a_failed_item_rolls_everyone_back_when_the_plan_says_so(watched: Served) -> None:
    """Envoy serves the baseline, one rollback is open for the flow, and asking again adds none."""
    answer = fail(watched)
    assert "emergency_rollback" in answer["rollback"]
    assert answer["claim"]["given_to"] == "baseline"
    state = routing.read(watched.store, "bench")
    assert state.mode is Mode.EMERGENCY_ROLLBACK
    wait_for(lambda: gateway_of(watched).served() == state.order, what="the gateway")
    (opened,) = rollbacks.not_handed_over(watched.store, "bench")
    assert (opened.actor, opened.severity) == ("console", "critical")
    assert "new-1 could not do a: model crashed" in opened.reason
    client = watched.client(watched.token())
    again = client.post("/v1/claims/a/fail", json={"token": 1, "reason": "model crashed"})
    assert again.is_success and again.json()["rollback"] is None
    assert len(rollbacks.all_of(watched.store, "bench")) == 1
    taken = client.post("/v1/claims/a", json={"system": "baseline", "holder": "old-1"})
    assert taken.json()["token"] == 2
    assert audit.verify(watched.store, "bench") == []


def test_a_failed_item_alone_moves_nobody(serve: Serve) -> None:
    """Without a word in the plan the item goes to the baseline and everyone else stays."""
    served = serve(make_plan())
    served.move(Mode.CANDIDATE_ONLY)
    assert fail(served)["rollback"] is None
    assert routing.read(served.store, "bench").mode is Mode.CANDIDATE_ONLY
    client = served.client(served.token())
    assert client.post("/v1/claims/a", json={"system": "baseline", "holder": "old"}).is_success
    now = clock.now()
    (told,) = [each for each in audit.events(served.store, "bench")
               if each.kind == "claim.handed_over"]
    assert told.data["to"] == "baseline" and told.at <= now
