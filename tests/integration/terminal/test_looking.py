"""`status --watch`, `status --group`, `wait` and `health` with a real store."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.health import HealthResult, Status
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import Change, Mode
from changeover.store import cutovers, health_results, plans, routing
from tests.integration.conftest import make_plan
from tests.integration.terminal.conftest import Prepare, in_terminal
from tests.support.commands import changeover
from tests.support.processes import ROOT

pytestmark = pytest.mark.integration
ANN = Author("ann", "by hand")


def test_status_is_refreshed_in_place_until_ctrl_c(prepare: Prepare) -> None:
    """What has changed is seen; Ctrl-C ends it with exit code 0 and leaves the newest status."""
    site = prepare()
    with in_terminal(site.home.root, "status", "--watch", "--every", "0.2") as terminal:
        terminal.read_until("Ctrl-C ends")
        change = Change(mode=Mode.GRADUAL, weight=2500)
        routing.change(site.store, "bench", change, ANN, now=clock.now())
        terminal.read_until("gradual 25 %")
        assert terminal.interrupt() == 0
    # the other screen is left again, and what was seen last stands on the usual one
    *_, last = terminal.seen.split("\x1b[?1049l")
    assert "bench: gradual 25 %" in last
    assert "Traceback" not in terminal.seen


def test_status_in_a_pipe_is_one_document_a_line(prepare: Prepare) -> None:
    """A reader that has seen enough ends it without a word of complaint."""
    site = prepare()
    command = [sys.executable, "-m", "changeover.cli", "status", "--watch", "--every", "0.2",
               "--output", "json", "--home", str(site.home.root)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for _ in range(2):
            assert json.loads(process.stdout.readline())["migration"] == "bench"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


def test_watch_ends_by_itself_and_leaves_the_terminal_as_it_was(prepare: Prepare) -> None:
    """A live screen for so long; in a pipe as many plain lines."""
    home = prepare().home.root
    with in_terminal(home, "watch", "0.2", "1", NO_COLOR="1") as terminal:
        assert terminal.ended() == 0
    assert "requests/s" in terminal.seen and "Ctrl-C ends" in terminal.seen
    assert terminal.seen.count("\x1b[?1049h") == terminal.seen.count("\x1b[?1049l") == 1
    # bold is no colour; red, green and the like are
    assert not re.search(r"\x1b\[[0-9;]*3[0-7][;m]", terminal.seen)
    with in_terminal(home, "watch", "0.2", TERM="dumb") as terminal:
        terminal.read_until("| candidate ")
        assert terminal.interrupt() == 0
    assert "\x1b" not in terminal.seen
    lines = changeover(home, "watch", "0.2", "5").splitlines()
    assert len(lines) >= 2 and all("bench: baseline_only" in line for line in lines)


@pytest.mark.parametrize("arguments", [["0"], ["soon"], ["2", "never"], ["2d"]])
def test_watch_refuses_what_is_no_time(prepare: Prepare, arguments: list[str]) -> None:
    assert "Allowed: " in changeover(prepare().home.root, "watch", *arguments, code=2)


def test_a_group_is_on_one_screen(prepare: Prepare) -> None:
    """Each member with its place, what it waits for, and whether anybody watches it."""
    site = prepare(make_plan(group={"name": "checkout", "order": 2}))
    first = make_plan(migration="orders", group={"name": "checkout", "order": 1})
    plans.register(site.store, first, source="test", now=clock.now())
    site.home.save_settings({"migration": "bench"})
    cutovers.begin(site.store, "bench", flow_run_id="run", now=clock.now())
    text = changeover(site.home.root, "status", "--group")
    head, *members = text.split("\n\n")
    assert head == "group checkout, 2 members"
    assert members[0].startswith("1 orders: baseline only")
    assert "WAITS FOR ITS GROUP: gradual 50 % waits: orders" in members[1]
    assert "ITS OBSERVER never gave a sign of life" in members[1]
    data = json.loads(changeover(site.home.root, "status", "--group", "--output", "json"))
    assert [each["cutover"] for each in data["members"]] == [None, "running"]


def test_a_migration_without_a_group_says_so(prepare: Prepare) -> None:
    text = changeover(prepare().home.root, "status", "--group", code=2)
    assert "bench belongs to no group" in text


def test_a_wait_ends_when_it_is_met_and_when_it_cannot_be(prepare: Prepare) -> None:
    """0 when it has come, 9 when it cannot come any more, 8 when it takes too long."""
    site = prepare()
    home = site.home.root
    assert "no cutover has begun" in changeover(
        home, "wait", "--for", "promoted", "--timeout", "0.1", code=8)
    cutover = cutovers.begin(site.store, "bench", flow_run_id="run", now=clock.now())
    changeover(home, "wait", "--for", "started")

    def roll_back() -> None:
        change = Change(mode=Mode.EMERGENCY_ROLLBACK)
        routing.change(site.store, "bench", change, ANN, now=clock.now())

    later = threading.Timer(0.5, roll_back)
    later.start()
    # the cutover's flow has not heard of it yet: its epoch says so
    told = changeover(home, "wait", "--for", "promoted", "--output", "json", code=9)
    later.join()
    assert json.loads(told)["text"] == "promoted cannot come any more: cutover 1 was rolled back"
    changeover(home, "wait", "--for", "rolled-back")
    ended = CutoverStatus.ROLLED_BACK
    cutovers.finish(site.store, cutover.id, ended, outcome="x", now=clock.now())
    changeover(home, "wait", "--for", "ended", "--cutover", str(cutover.id))


@pytest.mark.parametrize(("arguments", "said"), [
    (["--for", "heaven"], "started, waiting, promoted, rolled-back, ended, gradual-50"),
    (["--for", "ended", "--timeout", "soon"], "--timeout")])
def test_a_wait_for_nothing_does_not_begin(
    prepare: Prepare, arguments: list[str], said: str
) -> None:
    assert said in changeover(prepare().home.root, "wait", *arguments, code=2)


def test_health_says_what_is_not_well_last_and_by_its_exit_code(prepare: Prepare) -> None:
    """Examined now: nothing of this migration runs. Stored: what the flow found."""
    site = prepare()
    home = site.home.root
    text = changeover(home, "health", code=1)
    *lines, end = text.strip().splitlines()
    assert lines[0].startswith("✓ ") and lines[-1].startswith("✗ ")
    assert "not well" in end
    assert "no health check was stored yet" in changeover(home, "health", "--stored", code=1)
    health_results.save(site.store, [HealthResult(
        "bench", clock.now(), "disk", Status.WARNING, "85 % used")])
    stored = changeover(home, "health", "--stored")
    assert stored.startswith("! disk: warning, 85 % used\nall well, ")
