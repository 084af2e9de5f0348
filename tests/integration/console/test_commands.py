"""Modes and tokens from the command line, with a real Envoy: what is open, what is refused, how."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from changeover import clock
from changeover.gateway.publish import Gateway
from changeover.home import Home
from changeover.routing import Mode
from changeover.store import audit, cutovers, plans, routing, tokens
from changeover.store.engine import Store
from tests.integration.conftest import make_plan, start_bench
from tests.support.processes import ROOT

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home whose gateway serves, as `up` leaves it."""
    plan = make_plan(shadow={"sample": "10%"})
    found = Home(tmp_path / "home")
    found.create()
    with contextmanager(start_bench)(plan, found.root):
        store = Store.open(found.store_url, create=True)
        plans.register(store, plan, source="test", now=clock.now())
        store.close()
        found.save_settings({"migration": "bench"})
        yield found


def changeover(home: Home, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "changeover.cli", *arguments, "--home", str(home.root)],
        cwd=ROOT, capture_output=True, text=True, timeout=90, check=False)
    text = done.stdout + done.stderr
    assert done.returncode == code, text
    assert "Traceback" not in text
    return text


def test_every_mode_is_reached_and_every_refusal_says_the_way(home: Home) -> None:
    """From the first copy to everyone and back, each confirmed by Envoy and told in the audit."""
    store = Store.open(home.store_url)
    gateway = Gateway(home.gateway_files)

    def now_is(mode: Mode, weight: int = 0) -> None:
        state = routing.read(store, "bench")
        assert (state.mode, state.weight) == (mode, weight)
        assert gateway.served() == state.order

    refusal = changeover(home, "enable", "candidate_only", code=4)
    assert "go through gradual" in refusal and "Allowed: from baseline_only to" in refusal
    changeover(home, "enable", "shadow")
    now_is(Mode.SHADOW)
    assert routing.read(store, "bench").shadow_sample == 1000
    changeover(home, "enable", "parallel", "--reason", "compare effects")
    now_is(Mode.PARALLEL)
    assert "has no percentage" in changeover(home, "enable", "shadow", "--percent", "5", code=2)
    changeover(home, "enable", "gradual", "--percent", "5")
    now_is(Mode.GRADUAL, 500)
    assert "roll back or go to baseline_only" in changeover(home, "enable", "parallel", code=4)
    changeover(home, "advance", "--percent", "20")
    now_is(Mode.GRADUAL, 2000)
    changeover(home, "enable", "candidate_only")
    now_is(Mode.CANDIDATE_ONLY, 10_000)
    changeover(home, "maintenance", "on", "--reason", "moving")
    assert routing.read(store, "bench").maintenance
    changeover(home, "maintenance", "off", "--reason", "moved")
    changeover(home, "disable", "--reason", "the pilot is over")
    now_is(Mode.BASELINE_ONLY)
    changeover(home, "enable")  # the plan's first stage with users
    now_is(Mode.GRADUAL, 5000)
    changeover(home, "rollback", "--reason", "wrong totals")
    now_is(Mode.EMERGENCY_ROLLBACK)
    assert "changeover recover" in changeover(home, "disable", "--reason", "x", code=4)
    changeover(home, "recover", "--reason", "mended")
    now_is(Mode.BASELINE_ONLY)
    reasons = [event.data.get("reason") for event in audit.events(store, "bench")]
    assert {"compare effects", "the pilot is over", "moved", "wrong totals"} <= set(reasons)
    assert audit.verify(store, "bench") == []
    cutovers.begin(store, "bench", flow_run_id="run", now=clock.now())
    for command in (["enable", "shadow"], ["disable", "--reason", "x"], ["advance"]):
        assert "decides by its gates" in changeover(home, *command, code=4)
    store.close()


def test_tokens_are_made_listed_and_revoked(home: Home) -> None:
    """The secret is shown once; the list has everything but it."""
    made = json.loads(_json(changeover(
        home, "token", "create", "worker", "--expires", "90d", "--output", "json")))
    assert made["token"].startswith(f"chg_{made['id']}_")
    listed = changeover(home, "token", "list")
    assert made["id"] in listed and "never used" in listed
    assert made["token"].split("_", 2)[2] not in listed
    store = Store.open(home.store_url)
    assert tokens.find(store, made["token"], now=clock.now()) is not None
    changeover(home, "token", "revoke", made["id"])
    assert tokens.find(store, made["token"], now=clock.now()) is None
    assert "revoked" in changeover(home, "token", "list")
    store.close()
    assert "as 12h or 90d" in changeover(home, "token", "create", "x", "--expires", "?", code=2)
    assert "token list" in changeover(home, "token", "revoke", "nothing", code=2)


def _json(text: str) -> str:
    """Return the JSON of an output whose notes for people stand around it."""
    return text[text.index("{"):text.rindex("}") + 1]
