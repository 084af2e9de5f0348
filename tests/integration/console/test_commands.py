"""Modes and tokens from the command line, with a real Envoy: what is open, what is refused, how."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from changeover import clock
from changeover.cli.main import main
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.gateway import publish
from changeover.gateway.publish import Gateway
from changeover.plan.flags import from_document
from changeover.plan.procedures import RollbackSpec
from changeover.site.home import Home
from changeover.store import audit, cutovers, flags, plans, routing, tokens
from changeover.store.engine import Store
from tests.integration.conftest import make_plan, start_bench
from tests.support.meanwhile import meanwhile
from tests.support.processes import LONGEST_PAUSE, wait_for
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose gateway serves, as `up` leaves it; commands have all the patience they need."""
    monkeypatch.setattr(publish, "PATIENT_SECONDS", LONGEST_PAUSE)
    plan = make_plan(shadow={"sample": "10%"}, phases=[
        {"phase": "shadow", "soak": 0},
        {"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}])
    found = Home(tmp_path / "home")
    found.create()
    with contextmanager(start_bench)(plan, found.root):
        store = ready_store(found.store_url)
        plans.register(store, plan, source="test", now=clock.now())
        store.close()
        found.save_settings({"migration": "bench"})
        yield found


Run = Callable[..., str]


@pytest.fixture
def changeover(home: Home, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command, checks its exit code and returns what it printed."""

    def run(*arguments: str, code: int = 0) -> str:
        found = main([*arguments, "--home", str(home.root)])
        captured = capsys.readouterr()
        text = captured.out + captured.err
        assert found == code, text
        return text

    return run


def test_every_mode_is_reached_and_every_refusal_says_the_way(home: Home, changeover: Run) -> None:
    """From the first copy to everyone and back, each confirmed by Envoy and told in the audit."""
    store = Store.open(home.store_url)
    gateway = Gateway(home.gateway_files)

    def now_is(mode: Mode, weight: int = 0) -> None:
        state = routing.read(store, "bench")
        assert (state.mode, state.weight) == (mode, weight)
        assert wait_for(gateway.served) == state.order

    refusal = changeover("enable", "candidate_only", code=4)
    assert "go through gradual" in refusal and "Allowed: from baseline_only to" in refusal
    changeover("enable", "shadow")
    now_is(Mode.SHADOW)
    assert routing.read(store, "bench").shadow_sample == 1000
    changeover("enable", "parallel", "--reason", "compare effects")
    now_is(Mode.PARALLEL)
    assert "has no percentage" in changeover("enable", "shadow", "--percent", "5", code=2)
    changeover("enable", "gradual", "--percent", "5")
    now_is(Mode.GRADUAL, 500)
    assert "roll back or go to baseline_only" in changeover("enable", "parallel", code=4)
    changeover("advance", "--percent", "20")
    now_is(Mode.GRADUAL, 2000)
    changeover("enable", "candidate_only")
    now_is(Mode.CANDIDATE_ONLY, 10_000)
    changeover("maintenance", "on", "--reason", "moving")
    assert routing.read(store, "bench").maintenance
    changeover("maintenance", "off", "--reason", "moved")
    changeover("disable", "--reason", "the pilot is over")
    now_is(Mode.BASELINE_ONLY)
    changeover("enable")  # the plan's first stage with users
    now_is(Mode.GRADUAL, 5000)
    changeover("rollback", "--reason", "wrong totals")
    now_is(Mode.EMERGENCY_ROLLBACK)
    assert "changeover recover" in changeover("disable", "--reason", "x", code=4)
    changeover("recover", "--reason", "mended")
    now_is(Mode.BASELINE_ONLY)
    reasons = [event.data.get("reason") for event in audit.events(store, "bench")]
    assert {"compare effects", "the pilot is over", "moved", "wrong totals"} <= set(reasons)
    assert audit.verify(store, "bench") == []
    cutovers.begin(store, "bench", flow_run_id="run", now=clock.now())
    for command in (["enable", "shadow"], ["disable", "--reason", "x"], ["advance"]):
        assert "decides by its gates" in changeover(*command, code=4)
    store.close()


def test_advance_into_shadow_copies_the_plans_sample(home: Home, changeover: Run) -> None:
    """By hand as in a cutover: a shadow stage without copies would compare nothing."""
    changeover("advance")
    store = Store.open(home.store_url)
    state = routing.read(store, "bench")
    assert (state.mode, state.copied) == (Mode.SHADOW, 1_000)
    assert wait_for(Gateway(home.gateway_files).served) == state.order
    store.close()


def test_tokens_are_made_listed_and_revoked(home: Home, changeover: Run) -> None:
    """The secret is shown once; the list has everything but it."""
    made = json.loads(_json(changeover(
        "token", "create", "worker", "--expires", "90d", "--output", "json")))
    assert made["token"].startswith(f"chg_{made['id']}_")
    listed = changeover("token", "list")
    assert made["id"] in listed and "never used" in listed
    assert made["token"].split("_", 2)[2] not in listed
    store = Store.open(home.store_url)
    assert tokens.find(store, "bench", made["token"], now=clock.now()) is not None
    changeover("token", "revoke", made["id"])
    assert tokens.find(store, "bench", made["token"], now=clock.now()) is None
    assert "revoked" in changeover("token", "list")
    store.close()
    assert "as 12h or 90d" in changeover("token", "create", "x", "--expires", "?", code=2)
    assert "token list" in changeover("token", "revoke", "nothing", code=2)


def _json(text: str) -> str:
    """Return the JSON of an output whose notes for people stand around it."""
    return text[text.index("{"):text.rindex("}") + 1]


def test_segment_that_is_moved_back_meanwhile_is_not_moved_again(
    home: Home, changeover: Run
) -> None:
    """`advance --percent` changes the percentage only.

    1. The command reads 10 % and beta. 2. Somebody rolls beta back. 3. The command writes 20 %.
    """
    changeover("enable", "gradual", "--percent", "10")
    store = Store.open(home.store_url)

    def change(segments: tuple[str, ...]) -> None:
        routing.change(
            store, "bench", Change(mode=Mode.GRADUAL, segments=segments),
            Author("ana", "beta complains"), now=clock.now())

    change(("beta",))
    with meanwhile("FROM routing_state", lambda: change(())):
        changeover("advance", "--percent", "20")
    state = routing.read(store, "bench")
    assert (state.weight, state.segments) == (2_000, ())
    store.close()


def test_recover_names_the_flags_that_stay_as_the_rollback_set_them(
    home: Home, changeover: Run
) -> None:
    """Nobody wonders months later why a part of the candidate is off for everyone."""
    store = Store.open(home.store_url)
    plan = plans.load(store, "bench").model_copy(update={
        "flags": {"new": from_document({"mirrors": "system"}), "ai": True, "calm": False},
        "rollback": RollbackSpec(safe_flags={"new": "baseline", "ai": False, "calm": False})})
    plans.register(store, plan, source="test", now=clock.now())
    flags.follow_plan(store, plan, now=clock.now())
    changeover("rollback", "--reason", "a try")
    told = changeover("recover", "--reason", "mended")
    assert [line for line in told.splitlines() if line.startswith("note: ")] == [
        "note: flag ai stays as the rollback set it: `changeover flags reset ai` ends that"]
    assert flags.values(store, "bench") == {"ai": False, "calm": False, "new": None}
    store.close()
