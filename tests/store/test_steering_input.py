"""Commands that steer, given wrongly: one message, its documented exit code, nothing changed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from changeover import clock
from changeover.plan.load import load_plan
from changeover.site.home import Home
from changeover.store import approver_tokens, audit, cutovers, plans
from changeover.store.engine import Store
from flows.fields import Reason
from tests.core.plan.test_load import GOOD
from tests.support import commands

WHY, WHO = ("--reason", "x"), ("--approver", "ann")
Reasons = TypeAdapter(Reason)
NAME, REASON = "Allowed: 2 to 100 characters", "Allowed: 1 to 2000 characters"
CASES = [
    *((("promote-now", *WHY, "--approver", name), 2, NAME) for name in ("", "  ", "a", "a" * 101)),
    (("skip-stage", "gradual-10", *WHY, "--approver", " "), 2, NAME),
    (("plan", "amend", "plan.yaml", *WHY, "--approver", "", "--yes"), 2, NAME),
    *((("pause", "--reason", reason), 2, REASON) for reason in ("", " \n", "x" * 2001)),
    *(((*words, "--reason", " "), 2, REASON) for words in (
        ("resume",), ("extend", "2d"), ("promote-now", *WHO), ("skip-stage", "gradual-10", *WHO),
        ("freeze", "on"), ("freeze", "off"), ("plan", "amend", "plan.yaml", *WHO))),
    *((("extend", text, *WHY), 2, "DURATION: ") for text in (
        "", "x", "5", "0s", "2 days", "1e5s", "999999d")),
    (("extend", "-1h", *WHY), 2, "No such option '-1'"),
    (("freeze", "on", *WHY, "--until", ""), 2, "'' says no end. Allowed: a time as 2026-12-27T"),
    (("freeze", "off", *WHY), 4, "shop is not frozen"),
    (("resume", *WHY), 4, "is not paused"),
    (("skip-stage", "x", *WHY, *WHO), 2, "no stage x. Allowed: gradual-10, gradual-50"),
    (("skip-stage", "full", *WHY, *WHO), 4, "is the last one"),
    (("skip-stage", "beta-5", *WHY, *WHO), 4, "was entered already"),
    (("pause",), 2, "Missing option '--reason'"),
    (("promote-now", *WHY), 2, "Missing option '--approver'"),
]
AMENDED = [
    ("", 2, "the file is empty"),
    ("x: [", 2, "line 2: not readable as YAML"),
    (GOOD.replace("below: 1%", "below: 5s"), 2, "line 10, gates.slo[0]: '5s' is not a number"),
    (GOOD, 4, "the plan is the one that runs"),
    (GOOD.replace("migration: shop", "migration: other"), 4, "of migration other, not of shop"),
    (GOOD.replace("listen: 127.0.0.1:3", "listen: 127.0.0.1:4"), 4, "routing cannot be changed"),
    (GOOD.replace("percent: 5,", "percent: 6,"), 4, "stage beta-5 cannot be removed"),
    (f"{GOOD}shadow: {{sample: 5%}}\n", 4, "shadow cannot be added"),
    (f"{GOOD}flags: {{a: false}}\n", 4, "flags cannot be changed"),
]


@pytest.fixture
def home(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Home]:
    """A home whose cutover soaks in its first stage."""
    found = Home(tmp_path / "home")
    found.create()
    monkeypatch.chdir(found.root)
    found.save_settings({"migration": "shop", "plan": str(found.root / "plan.yaml"),
                         "api_url": "http://127.0.0.1:1/api"})
    (found.root / "store.db").write_bytes(sqlite_template.read_bytes())
    (found.root / "plan.yaml").write_text(GOOD)
    plan = load_plan(found.root / "plan.yaml")
    with closing(Store.open(found.store_url)) as store:
        plans.register(store, plan, source="test", now=clock.now())
        begun = cutovers.begin(store, "shop", flow_run_id="run-1", now=clock.now())
        cutovers.enter_stage(store, begun.id, plan.stages()[0], now=clock.now())
    yield found


def events(home: Home) -> int:
    with closing(Store.open(home.store_url)) as store:
        return len(audit.events(store, "shop"))


def test_a_command_that_is_given_wrongly_says_what_is_allowed(home: Home) -> None:
    """Options, names, reasons, durations, stages; each with exit code 2 or 4."""
    before = events(home)
    for words, code, said in CASES:
        text = commands.changeover(home.root, *words, code=code)
        assert said in text, text
        assert "Traceback" not in text
    assert events(home) == before


def test_a_token_in_a_reason_is_stored_without_its_secret_and_none_is_a_name(home: Home) -> None:
    """The command says so; a rollback, too, is done."""
    secret, stored = f"cha_{'0' * 12}_{'x' * 43}", "as cha_000000000000_*** says"
    said = commands.changeover(home.root, "pause", "--reason", f"as {secret} says")
    assert "note: a token stands in --reason: its secret is not stored" in said
    assert stored in said
    said = commands.changeover(
        home.root, "promote-now", *WHY, "--approver", secret, code=2)
    assert "is a token and no name" in said and secret not in said
    assert Reasons.validate_python(f"as {secret} says") == stored  # of a flow
    for each in home.root.glob("store.db*"):
        assert secret.encode() not in each.read_bytes()


def test_a_plan_that_cannot_be_gone_on_with_is_refused_with_the_reason(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No plan, another migration's, one that users who were moved would notice."""
    before, amend = events(home), ("plan", "amend", "plan.yaml", *WHY, *WHO, "--yes")
    for content, code, said in AMENDED:
        (home.root / "plan.yaml").write_text(content)
        assert said in commands.changeover(home.root, *amend, code=code)
    (home.root / "plan.yaml").write_text(GOOD.replace("below: 1%", "below: 2%"))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    said = commands.changeover(home.root, *amend[:-1], code=4)
    assert "below: 1% → 2%" in said
    assert "because you did not want it" in said
    elsewhere = home.root.parent / "plan.yaml"
    elsewhere.write_text(GOOD)
    assert "lies in another folder" in commands.changeover(
        home.root, "plan", "amend", str(elsewhere), *amend[3:], code=2)
    assert events(home) == before


def test_a_rotated_token_is_valid_for_as_long_as_the_one_before(home: Home) -> None:
    """From now on; also after the end of that one. `--expires` says something else."""
    ends = []
    for words in (("add", "Ann", "--expires", "90d"), ("rotate", "ann"),
                  ("rotate", "ann", "--expires", "1h"), ("rotate", "ann"),
                  ("rotate", "ann", "--expires", "never"), ("rotate", "ann")):
        commands.changeover(home.root, "approver", *words)
        with closing(Store.open(home.store_url)) as store:
            newest = approver_tokens.every(store, "shop")[-1]
        ends.append(newest.expires_at and newest.expires_at - newest.created_at)
    days, hour = timedelta(days=90), timedelta(hours=1)
    assert ends == [days, days, hour, hour, None, None]
    said = commands.changeover(
        home.root, "approver", "rotate", "ann", "--expires", "0s", code=2)
    assert "over at once" in said
