"""Outcomes with keys, reported as applications do, become verdicts by evidence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import httpx
import numpy as np
import pytest

from changeover import clock
from changeover.analysis.gate import GateResult
from changeover.domain.rollout import GateVerdict, StageRecord
from changeover.domain.routing import Mode, bucket
from changeover.domain.verdict import Verdict
from changeover.procedures.checking import evidence_of, judge_now
from changeover.procedures.recompute import recompute
from changeover.site.site import Site
from changeover.store import cutovers, verdicts
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Serve, Served
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration

USERS = 1500
GATES = {"value": [
    {"metric": "outcome.order_value", "ratio_to_baseline": 0.95, "direction": "decrease",
     "range": [0, 400]},
    {"metric": "outcome_error_rate", "ratio_to_baseline": 2},
]}
MEANS = np.random.default_rng(1).lognormal(4, 0.4, USERS)


@pytest.fixture
def shop(serve: Serve) -> Iterator[tuple[Served, httpx.Client]]:
    """A console of a plan that compares orders, and a client that may report them."""
    phases = [{"phase": "gradual", "gates": ["value"], "stages": [{"percent": 50, "soak": "20s"}]}]
    console = serve(make_plan(gates=GATES, phases=phases))
    yield console, console.client(console.token())


def orders(seed: int, weight: int, times: float) -> Iterator[dict[str, object]]:
    """Yield outcomes of all users, eight each: of the candidate's, `times` the usual value."""
    chance = np.random.default_rng(seed)
    for number in np.repeat(np.arange(USERS), 8):
        user = f"user-{number}"
        is_mine = bucket(user, salt="") < weight
        value = MEANS[number] * chance.lognormal(0, 0.4) * (times if is_mine else 1)
        yield {"id": uuid4().hex, "system": "candidate" if is_mine else "baseline",
               "success": bool(chance.random() > 0.02), "key": user,
               "quality": {"order_value": float(value)}}


def report(client: httpx.Client, found: Iterator[dict[str, object]]) -> None:
    """Report outcomes, some thousands at once."""
    batch = list(found)
    for first in range(0, len(batch), 3000):
        answer = client.post("/v1/outcomes", json=batch[first:first + 3000])
        assert answer.json()["new"] == len(batch[first:first + 3000])


def test_a_lower_order_value_fails_its_gate_and_equal_errors_do_not(
    shop: tuple[Served, httpx.Client]
) -> None:
    """By the console's real API; the verdict is stored and reached again to the last bit."""
    console, client = shop
    report(client, orders(1, 0, 1.0))
    console.move(Mode.GRADUAL, 5000)
    site = Site(console.home, console.plan, console.store)
    record = entered(console)
    client.post("/v1/outcomes", json={"id": "nobody", "system": "candidate", "success": True})
    report(client, orders(2, 5000, 0.8))
    judged: list[GateResult] = []

    def is_shown() -> bool:
        judged.append(judge_now(
            site, record, "value", outlook_of=lambda check, result, sums: result))
        return judged[-1].results[0].verdict is Verdict.FAIL

    wait_for(is_shown, seconds=60, what="a verdict on the stage's outcomes")
    value, errors = judged[-1].results
    assert "less than 0.95 times the baseline's is shown" in value.reason
    assert errors.verdict is not Verdict.FAIL
    assert "outcomes against the baseline's" in errors.reason
    again = stored_and_recomputed(site, record, judged[-1])
    assert again == ["", ""]
    assert (value.sequential or {})["excluded"] == {"no key": 1}


def entered(console: Served) -> StageRecord:
    """Begin the stage whose users are split now."""
    cutover = cutovers.begin(
        console.store, console.plan.migration, flow_run_id=str(uuid4()), now=clock.now())
    (stage,) = [each for each in console.plan.stages() if each.weight == 5000][:1]
    # as if it had settled already
    before = clock.now() - timedelta(seconds=30)
    return cutovers.enter_stage(console.store, cutover.id, stage, now=before)


def stored_and_recomputed(
    site: Site, record: StageRecord, judged: GateResult
) -> list[str]:
    """Store a verdict, and return what differs when it is reached again from the store."""
    saved = verdicts.save(site.store, GateVerdict(
        record.cutover_id, record.key, "value", 1, 1, judged.verdict, judged.reason, clock.now(),
        evidence_of(site.plan, "value", judged)), judged.sums)
    found = verdicts.get(site.store, saved.id)
    assert found is not None
    return [each.problem for each in recompute(*found)]
