"""The observer tells people when the baseline was made smaller and a rollback may not fit."""

from __future__ import annotations

import pytest

from changeover import clock
from changeover.domain.audit import NewEvent
from changeover.store import audit, messages
from tests.integration.observer.conftest import Start
from tests.support.processes import free_port, wait_for

pytestmark = pytest.mark.integration


def test_the_observer_tells_people_that_the_way_back_is_at_risk(start: Start) -> None:
    """A lever halved the baseline before the observer was started: people are told, once."""
    watched = start(
        observe=False, levers={"halve": {"command": ["true"], "shrinks": "baseline"},
                               "double": {"command": ["true"]}},
        phases=[{"phase": "gradual", "stages": [
            {"percent": 10, "soak": 0},
            {"percent": 50, "soak": 0, "hooks": {
                "before": [{"lever": "halve", "undo": "double"}]}}]}],
        notify=[{"webhook": f"http://127.0.0.1:{free_port()}/hook"}])
    audit.record(watched.store, "bench", NewEvent(
        actor="test", kind="lever.pulled", at=clock.now(),
        data={"lever": "halve", "problem": ""}))

    def told() -> list[str]:
        found = messages.newest(watched.store, "bench")
        return [each.title for each in found if "way back" in each.title]

    watched.start_observer()
    wait_for(told, seconds=30, what="the message")
    assert told() == ["the way back of bench is at risk"]
