"""People who have the database's address and nothing else: they look, and move users."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover import clock
from changeover.domain.routing import Mode
from changeover.store import audit, plans
from tests.integration.conftest import make_plan
from tests.integration.node.conftest import Begin, Fleet
from tests.support.commands import plain
from tests.support.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.postgres]


@pytest.fixture
def fleet(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """A fleet with a node, seen from a folder with nothing in it."""
    found = begin()
    found.start("edge-1")
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    monkeypatch.setenv("CHANGEOVER_SCRATCH", str(away / "scratch"))
    monkeypatch.delenv("CHANGEOVER_HOME", raising=False)
    return found


def test_users_are_moved_and_come_back_by_the_store_alone(fleet: Fleet) -> None:
    """What is said counts the gateways that have confirmed it."""
    edge, = fleet.nodes
    said = plain("enable", "gradual", "--percent", "25", "--store", fleet.url)
    assert fleet.state().mode is Mode.GRADUAL
    assert edge.gateway.served() == fleet.state().order, said
    assert "edge-1" in plain("status", "--store", fleet.url)
    plain("rollback", "--reason", "wrong sums", "--store", fleet.url)
    assert fleet.state().mode is Mode.EMERGENCY_ROLLBACK
    assert edge.gateway.served() == fleet.state().order
    assert audit.verify(fleet.store, "bench") == []


def test_a_dead_node_is_forgotten_from_anywhere(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the variable too; not while it lives."""
    monkeypatch.setenv("CHANGEOVER_STORE_URL", fleet.url)
    edge, = fleet.nodes
    said = plain("forget-gateway", "edge-1", "--reason", "burnt", code=4)
    assert "edge-1" in said
    edge.kill()
    wait_for(lambda: "edge-1 is forgotten" in _forget(), seconds=30, what="it is dead long enough")


def _forget() -> str:
    try:
        return plain("forget-gateway", "edge-1", "--reason", "burnt")
    except AssertionError as error:
        return str(error)


def test_of_several_migrations_one_must_be_named(fleet: Fleet) -> None:
    """The one that was started last is somebody else's."""
    plans.register(
        fleet.store, make_plan(migration="letters"), source="test", now=clock.now())
    said = plain("advance", "--store", fleet.url, code=2)
    assert "bench, letters" in said
    assert "letters" in plain("status", "--store", fleet.url, "--migration", "letters")
