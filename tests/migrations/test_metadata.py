"""The quick demo's stack, as the tests of the other migrations use theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.migration import Migration, demonstrate
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration
TAKES_MINUTES = 2
EXAMPLE = "metadata"


def test_a_fault_ends_in_a_rollback_and_the_next_begins_anew(running: Migration) -> None:
    """Users are moved by hand, the candidate fails, everyone is back; then the same again."""
    for kind, trigger in (("errors", "errors"), ("latency", "slow")):
        running.move(50)
        running.begin(kind)
        running.wait_fired(trigger)
        running.wait_rolled_back()
        running.end_fault(kind)
    wait_for(lambda: running.count("answered") > 100, what="users go on")


def test_a_demo_that_cannot_be_is_refused_in_one_line(tmp_path: Path) -> None:
    """Unknown names, faults, stages and speeds: nothing is started."""
    for options in (["nonsense"], ["metadata", "--fault", "errors"],
                    ["metadata", "--fault", "errors@never"], ["metadata", "--speed", "0"]):
        code, text = demonstrate(options[0], tmp_path, *options[1:], seconds=60)
        assert code == 2, text
        assert "Allowed: " in text


def test_the_list_says_what_can_go_wrong(tmp_path: Path) -> None:
    """Every migration has a line, and every fault what it does."""
    code, text = demonstrate("metadata", tmp_path, "--list", seconds=60)
    assert code == 0
    assert "metadata: A parser" in text
    assert "--fault errors@STAGE" in text
