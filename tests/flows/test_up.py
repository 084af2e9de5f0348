"""`changeover up` stopped and started again: nothing is left running, and nothing is lost."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from changeover.errors import EXIT_INTERRUPTED
from changeover.routing import Mode
from changeover.store import audit, routing
from changeover.store.records import CutoverStatus
from tests.support.processes import wait_for
from tests.support.site import site, started

pytestmark = [pytest.mark.integration]

PHASES = """\
phases:
  - {phase: beta, percent: 5, soak: 1s, approval: {approvers: 1}}
  - {phase: full, soak: 1s}
"""


def test_a_second_up_goes_on_where_the_first_was_stopped(tmp_path: Path) -> None:
    """Ctrl-C ends everything; the next `up` serves the same routes, and the approval counts."""
    with site(tmp_path, PHASES, is_fresh=True) as found:
        run = found.start()
        found.wait_waiting(run, "beta-5")
        pids = [entry["pid"] for entry in found.home.settings()["processes"].values()]
        assert len(pids) == 8
        found.supervisor.send_signal(signal.SIGINT)
        assert found.supervisor.wait(200) == EXIT_INTERRUPTED
        assert not [pid for pid in pids if psutil.pid_exists(pid)]
        assert found.flow_processes() == []
        with started(found.home, found.plan_path, tmp_path):
            assert found.stage(run) == ("beta-5", "waiting")
            wait_for(found.gateway_serves, what="the same routes")
            found.changeover("approve", "promote", "--approver", "alice")
            assert found.wait_ended(run).status is CutoverStatus.PROMOTED
            assert routing.read(found.store, "site").mode is Mode.CANDIDATE_ONLY
            assert audit.verify(found.store, "site") == []
