"""Triggers on external metrics in the real observer: they move users, and a silent source moves
nobody and delays nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover.domain.routing import Mode
from changeover.store import firings
from tests.integration.observer.conftest import ERRORS, Start
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration

PAYMENTS = {"name": "payments", "metric": "external.failed", "above": "5%", "for": "2s",
            "action": "rollback"}


def sources(file: Path) -> dict[str, object]:
    """Return a source that reads a file, and one that never answers."""
    return {
        "shop": {"kind": "command", "every": "1s", "retries": 0, "timeout": "30s", "metrics": {
            "failed": {"command": ["cat", str(file)], "unit": "share"}}},
        "stuck": {"kind": "command", "every": "1s", "timeout": "30s", "metrics": {
            "depth": {"command": ["sleep", "3600"]}}},
    }


def test_a_source_that_says_harm_rolls_users_back(start: Start, tmp_path: Path) -> None:
    """While another source hangs; before it says so, and without a value, nothing happens."""
    file = tmp_path / "failed"
    stuck = {"name": "depth", "metric": "external.depth", "above": 1, "for": "1s",
             "action": "rollback"}
    watched = start(PAYMENTS, stuck, sources=sources(file))
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        watched.goes_on(100)
        assert watched.firings() == []
        file.write_text("nan")
        watched.goes_on(100)
        assert watched.firings() == []
        file.write_text("0.25")
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="rollback")
        wait_for(watched.firings, what="the firing's row")
    (firing,) = firings.all_of(watched.store, "bench")
    assert firing.trigger == "payments"
    assert "external.failed of candidate 25.000 % is above 5.000 %, by source shop at " \
        in firing.reason
    own = firing.evidence["external"]["own"]
    assert (own["value"], own["query"]) == (0.25, f"cat {file}")


def test_a_hanging_source_delays_no_other_trigger(start: Start, tmp_path: Path) -> None:
    """Each source has a thread of its own, and the observer's second waits for none."""
    stuck = {"name": "depth", "metric": "external.depth", "above": 1, "for": "1s",
             "action": "rollback"}
    watched = start(stuck, ERRORS, sources=sources(tmp_path / "failed"))
    watched.move(Mode.GRADUAL, 5000)
    with watched.load():
        wait_for(lambda: watched.measured() > 50, what="samples")
        watched.bench.fault("503")
        wait_for(lambda: watched.state().mode is Mode.EMERGENCY_ROLLBACK, what="rollback")
        wait_for(watched.firings, what="the firing's row")
    assert watched.firings() == [("errors", "rollback")]
