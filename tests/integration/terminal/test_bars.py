"""Progress is shown to a person who looks, and to nobody else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.terminal.conftest import Prepare, opened
from tests.support.processes import ROOT

pytestmark = pytest.mark.integration
BARS = """\
import sys, time
from changeover.cli.bars import bar, several, spinner
with bar("counting", 4) as advance:
    advance(4)
with several(unit="rows") as report:
    report("unknown", 3, 0)
    report("known", 5, 10)
with spinner("going on") as say:
    say("still going on")
print("the result")
"""


def test_a_terminal_shows_how_far_the_work_is() -> None:
    """With what is done, of how much, and what is done now."""
    with opened([sys.executable, "-c", BARS], columns=120) as terminal:
        assert terminal.ended() == 0
    for part in ("counting", "4/4", "known", "5/10", "rows", "still going on", "the result"):
        assert part in terminal.seen


def test_a_pipe_has_the_result_alone() -> None:
    """Neither on standard output nor on standard error is a trace of bars."""
    done = subprocess.run(
        [sys.executable, "-c", BARS], capture_output=True, text=True, cwd=ROOT, check=True)
    assert (done.stdout, done.stderr) == ("the result\n", "")


def test_commands_that_take_time_show_it_beside_their_output(
    prepare: Prepare, tmp_path: Path
) -> None:
    """On a terminal a bar; with `--output json` nothing beside the document."""
    home = str(prepare().home.root)
    plan = ROOT / "plans" / "metadata.yaml"
    check = [sys.executable, "-m", "changeover.cli", "plan", "check", str(plan)]
    with opened(check, columns=120) as terminal:
        assert terminal.ended() == 0
    assert "asking the systems" in terminal.seen
    with opened([*check, "--output", "json"], columns=120) as terminal:
        assert terminal.ended() == 0
    assert json.loads(terminal.seen)["migration"] == "metadata"
    history = [sys.executable, "-m", "changeover.cli", "history", "--verify", "--home", home]
    with opened(history, columns=120) as terminal:
        assert terminal.ended() == 0
    assert "checking the chain" in terminal.seen and "intact: 1 events" in terminal.seen
