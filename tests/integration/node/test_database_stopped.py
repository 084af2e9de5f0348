"""A PostgreSQL that crashes while a fleet is at 50 %: users notice nothing, nothing is lost."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from changeover.domain.routing import Mode
from changeover.store import audit, cutovers, firings, rollbacks
from tests.support.database_stopped import NODES, STAGE, Stopped, begin
from tests.support.measured import wait_measured_once
from tests.support.postgres import own_postgres
from tests.support.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.postgres]


def test_a_database_that_crashes_costs_no_request_and_no_decision(tmp_path: Path) -> None:
    """Every gateway rolls back by itself; all of it is told afterwards, once."""
    with ExitStack() as stack:
        story = begin(stack, tmp_path, stack.enter_context(own_postgres()))
        story.crash()
        story.fail()
        story.come_back()
        assert [each.failed for each in story.users.values() if each.failed] == []
        decided_once(story)
        measured_once(story)


def decided_once(story: Stopped) -> None:
    """What was answered is stored; what was refused at most; all told once."""
    fleet, store = story.fleet, story.fleet.store
    people, stored = story.people, story.people.stored()
    assert stored in (people.given, [*people.given, people.refused])
    wait_for(lambda: all(each.ended_at or each.reason
                         for each in rollbacks.all_of(store, "bench")), what="the rollback")
    assert (fleet.state().mode, fleet.state().epoch) == (Mode.EMERGENCY_ROLLBACK, 1)
    wait_for(lambda: firings.all_of(store, "bench"), what="the firing is recorded")
    assert [(each.trigger, each.epoch) for each in firings.all_of(store, "bench")] == [("slow", 1)]
    assert len(rollbacks.all_of(store, "bench")) == 1
    events = audit.events(store, "bench")
    found = Counter(event.kind for event in events)
    assert (found["break_glass.used"], found["gateway_node.rolled_back"],
            found["rollback.started"], found["trigger.fired"]) == (1, len(NODES), 1, 1)
    told = {event.data["node"] for event in events if event.kind == "gateway_node.rolled_back"}
    assert told == set(NODES)
    assert audit.verify(store, "bench") == []
    stages = cutovers.stages(store, people.cutover_id)
    assert [each.key for each in stages] == [STAGE]


def measured_once(story: Stopped) -> None:
    """What every gateway served is in the store, also of the time without it, and nothing twice."""
    gateways = [story.fleet.bench.gateway, *(node.gateway for node in story.nodes)]
    wait_measured_once(story.fleet.store, "bench", gateways, since=story.since)
