"""What a node that is cut off makes of what it measures. Its gateway is files without an Envoy."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from changeover.analysis.window import combine
from changeover.domain.own_moves import FIRING
from changeover.domain.routing import Mode, RoutingState
from changeover.gateway.files import GatewayFiles
from changeover.gateway.publish import Gateway
from changeover.gateway.routes_on_disk import replace_json
from changeover.node.awake import TURNS
from changeover.node.card import Card
from changeover.node.judging import Judging
from changeover.node.own_moves import OwnMoves
from changeover.observer.throttle import LogOnce
from changeover.plan.guardrails import Guardrail
from changeover.plan.model import Plan
from changeover.store.gateway_nodes import Identity
from tests.core.observer.test_guardrails import second
from tests.integration.conftest import make_plan
from tests.support.processes import free_port

ERRORS = {"name": "errors", "metric": "error_rate", "above": "20%", "for": "0s", "over": "5s",
          "min_samples": 3, "action": "rollback"}
GENTLE = {**ERRORS, "name": "gentle", "urgent": False}
OUT_OF_USE: dict[str, Any] = {
    "levers": {name: {"of": "baseline", "post": f"/lever/{name}"} for name in ("off", "on")},
    "cutover": {"disable_baseline": {"levers": ["off"], "undo": ["on"], "undo_within": "5s"}}}


class Node:
    """A node that serves a state."""

    def __init__(self, directory: Path, mode: Mode, *, maintenance: bool = False,
                 **parts: Any) -> None:
        self.plan: Plan = make_plan(**parts)
        weight = 10_000 if mode is Mode.CANDIDATE_ONLY else 5_000
        self.state = RoutingState(
            "bench", mode, weight, version=7, epoch=2, maintenance=maintenance)
        self.gateway = Gateway(GatewayFiles(directory / "gateway"), name="edge-1")
        self.gateway.files.root.mkdir()
        self.gateway.write_safe(self.plan, self.state)
        replace_json(self.gateway.files.routes, self.gateway.routes_of(self.plan, self.state))
        self.card = Card(Identity("bench", "edge-1", "home", ""), OwnMoves(self.gateway))
        self.card.heard()
        self.card.state = self.state
        assert self.card.moves is not None
        self.judging = Judging(self.plan, self.card, self.card.moves, LogOnce())
        self.judging.tick()
        self.at = int(time.time()) + 1

    def measure(self, *rows: tuple[str, bool], seconds: int = 4) -> None:
        """Measure some seconds: systems, each with whether all of its requests fail."""
        for _ in range(seconds):
            self.judging.feed([second(system, self.at, Guardrail.ERRORS if fails else None)
                               for system, fails in rows], self.at + 1)
            self.at += 1
        self.judging.tick()

    def cut_off(self, *, seconds: float = 10.0) -> None:
        """Let the store be silent, as the node has heard for itself."""
        assert self.card._heard is not None
        self.card._heard -= seconds
        for _ in range(TURNS + 1):
            self.judging.tick()
        self.judging._awake.seconds = seconds

    @property
    def moved(self) -> dict[str, Any] | None:
        return self.gateway.journal()


def failing(node: Node) -> Node:
    """Cut a node off whose candidate fails all requests then."""
    node.measure(("baseline", False), ("candidate", False))
    node.cut_off()
    node.measure(("baseline", False), ("candidate", True))
    node.judging.tick()
    return node


def test_a_trigger_moves_users_once_the_silence_is_certain(tmp_path: Path) -> None:
    node = Node(tmp_path, Mode.GRADUAL, triggers=[ERRORS])
    found = failing(node).moved
    assert found is not None and found[FIRING]["trigger"] in ("errors", "guardrail errors")


def test_under_maintenance_nothing_is_judged(tmp_path: Path) -> None:
    """Everybody gets the maintenance answer, and the baseline is perhaps away on purpose."""
    node = Node(tmp_path, Mode.GRADUAL, maintenance=True, triggers=[ERRORS],
                routing={"listen": f"127.0.0.1:{free_port()}", "lost_after": "5s"})
    assert failing(node).moved is None


@pytest.mark.parametrize(("trigger", "moves"), [(ERRORS, True), (GENTLE, False)])
def test_in_a_return_in_steps_only_what_is_urgent_moves_the_rest(
    tmp_path: Path, trigger: dict[str, Any], moves: bool
) -> None:
    """They go back already, as fast as the plan says."""
    node = Node(tmp_path, Mode.RETURNING, triggers=[trigger],
                guardrails={"errors": {"off": "the trigger says it"}})
    assert bool(failing(node).moved) is moves


def test_what_the_baseline_answered_before_is_known_when_it_serves_nobody(tmp_path: Path) -> None:
    """At 100 % guardrails compare with what was measured while the store answered."""
    node = Node(tmp_path, Mode.CANDIDATE_ONLY)
    node.measure(("baseline", False), ("candidate", False))
    node.measure(("candidate", False), seconds=10)
    node.cut_off()
    node.measure(("candidate", True), seconds=8)
    found = node.moved
    assert found is not None and found[FIRING]["trigger"] == "guardrail errors"


def test_what_other_gateways_measured_of_the_baseline_is_known_too(tmp_path: Path) -> None:
    """This node may have joined when the baseline served nobody any more."""
    node = Node(tmp_path, Mode.CANDIDATE_ONLY)
    rows = [second("baseline", at) for at in range(100)]
    node.judging.usual = combine(rows, seconds=100)
    node.measure(("candidate", False), seconds=10)
    node.cut_off()
    node.measure(("candidate", True), seconds=8)
    assert node.moved is not None


def test_a_lost_node_leaves_users_where_the_baseline_may_be_out_of_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It may answer still, and be of yesterday; and nothing fired."""
    caplog.set_level(logging.ERROR)
    node = Node(tmp_path, Mode.CANDIDATE_ONLY, **OUT_OF_USE,
                routing={"listen": f"127.0.0.1:{free_port()}", "lost_after": "5s"})
    node.cut_off(seconds=60.0)
    node.judging.tick()
    assert node.moved is None
    assert "the baseline may be out of use by now" in caplog.text


def test_a_node_is_cut_off_from_a_store_that_takes_nothing(tmp_path: Path) -> None:
    """It is read and cannot be written: nobody judges by it."""
    card = Card(Identity("bench", "edge-1", "home", ""))
    card.heard()
    assert card._heard is not None
    card._heard -= 10
    card.heard()
    assert card.is_cut_off
    card._said = time.monotonic()
    assert not card.is_cut_off


