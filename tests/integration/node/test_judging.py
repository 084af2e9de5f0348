"""The main machine's observer judges what all gateways measure, and its rollback reaches all."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from changeover.domain.routing import Mode, System
from changeover.gateway.tailer import Tailer
from changeover.store import audit, firings, publications
from tests.integration.node.conftest import Begin, Node
from tests.integration.observer.conftest import ERRORS, NO_FAST_PATH
from tests.support.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.postgres]

FIGURES = os.environ.get("FLEET_FIGURES")
"""A file to which figures are added, when somebody measures."""


def last_candidate(node: Node) -> float:
    """Return when the last request that a node sent to the candidate ended, Unix time."""
    entries = Tailer(node.gateway.files.access_log, {}).read()
    return max((entry.end for entry in entries if entry.served_by is System.CANDIDATE), default=0)


def test_a_trigger_by_what_nodes_measure_reaches_all_of_them(begin: Begin) -> None:
    """The main gateway has no users: nobody but the nodes sees that the candidate fails."""
    fleet = begin(triggers=[ERRORS], guardrails=NO_FAST_PATH)
    fleet.start_observer()
    nodes = fleet.start("edge-1", "edge-2", "edge-3")
    fleet.move(Mode.GRADUAL, 5000)
    with fleet.load(*nodes):
        time.sleep(3)
        began = time.time()
        fleet.bench.fault("half")
        wait_for(lambda: fleet.state().mode is Mode.EMERGENCY_ROLLBACK, seconds=20,
                 what="the rollback")
        wait_for(lambda: all(
            (row := node.row()) and row.order == fleet.state().order for node in nodes),
            what="all nodes follow")
        time.sleep(1.0)
    fired = firings.all_of(fleet.store, "bench")[-1]
    assert fired.trigger == "errors"
    rolled_back = next(event.at for event in reversed(audit.events(fleet.store, "bench"))
                       if event.kind == "rollback.started")
    last = max(map(last_candidate, nodes))
    figures = {
        "fault_to_rollback": rolled_back.timestamp() - began,
        "trigger_to_last": last - fired.fired_at.timestamp(),
        "rollback_to_last": last - rolled_back.timestamp(), "fault_to_last": last - began}
    if FIGURES:
        with Path(FIGURES).open("a") as file:
            file.write(json.dumps(figures) + "\n")
    # on two quiet cores under 1.5 s, see docs/benchmarks.md
    assert figures["trigger_to_last"] < 7.5, figures
    newest = publications.latest(fleet.store, "bench")
    assert newest is not None and newest.nodes == "3 of 3 nodes confirmed"


def test_seconds_of_which_nodes_measured_all_are_judged_with_them(begin: Begin) -> None:
    """What has not come yet is no drop of requests, not even right after the observer's start."""
    drop = {"name": "drop", "metric": "request_rate", "of": "baseline", "below": 2, "for": "1s",
            "over": "2s", "min_samples": 1, "action": "alert"}
    fleet = begin(triggers=[drop], guardrails=NO_FAST_PATH)
    one, two = fleet.start("edge-1", "edge-2")
    with fleet.load(one, two, pause=0.02):
        wait_for(lambda: one.measured() > 50 and two.measured() > 50, what="both measure")
        fleet.start_observer()
        time.sleep(6)
        assert firings.all_of(fleet.store, "bench") == []
    wait_for(lambda: firings.all_of(fleet.store, "bench"), what="it fires when users are gone")
