"""A trigger that compares with the baseline, in the real observer."""

from __future__ import annotations

import pytest

from changeover import clock
from changeover.domain.routing import Mode
from changeover.store import audit, cutovers, firings
from tests.integration.observer.conftest import Start
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration

WORSE = {"name": "worse", "metric": "error_rate", "ratio_to_baseline": 2, "action": "rollback"}
PHASES = [{"phase": "gradual", "stages": [{"percent": 50, "soak": "1h"}]}]


def test_harm_that_the_evidence_shows_rolls_back_also_over_a_kill(start: Start) -> None:
    """The sums of before the kill are taken up again, and the audit has the numbers."""
    watched = start(WORSE, phases=PHASES)
    cutover = cutovers.begin(watched.store, "bench", flow_run_id="a", now=clock.now())
    watched.move(Mode.GRADUAL, 5000)
    cutovers.enter_stage(watched.store, cutover.id, watched.plan.stages()[0], now=clock.now())
    with watched.load():
        wait_for(lambda: watched.measured() > 50, what="samples")
        watched.kill_observer()
        watched.bench.fault("503")
        watched.goes_on(200)
        watched.start_observer()
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="the rollback")
        wait_for(watched.firings, what="the firing")
    (firing,) = firings.all_of(watched.store, "bench")
    evidence = firing.evidence["evidence"]
    assert (firing.trigger, str(firing.action)) == ("worse", "rollback")
    assert evidence["log_worse"] > evidence["log_bar"]
    told = next(event for event in audit.events(watched.store, "bench")
                if event.kind == "trigger.fired")
    assert told.data["evidence"]["evidence"] == evidence
