"""Approval by a listed person with a code, in Prefect's form; others are refused there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.domain.tokens import ApproverToken
from changeover.site.prefect_rows import FlowRun
from changeover.store import approvals, approver_tokens, audit, routing
from changeover.store.admission import REFUSED
from tests.integration.conftest import make_plan
from tests.support import commands
from tests.support.processes import wait_for
from tests.support.sop_site import PrefectServer, SopSite, sop_site

pytestmark = [pytest.mark.integration]

STAGES = [
    {"phase": "beta", "percent": 10, "soak": "0s", "approval": {}},
    {"phase": "full", "soak": "0s", "approval": {}},
]
VARIABLE = "CHANGEOVER_APPROVER_TOKEN"


@pytest.fixture
def site(server: PrefectServer, tmp_path: Path) -> Iterator[SopSite]:
    """A site where ann and bob may approve, with codes, and not alone what they started."""
    plan = make_plan(health_timeout="60s", phases=STAGES, approvers={
        "names": ["ann", "bob"], "tokens": True, "four_eyes": True})
    with sop_site(server, plan, tmp_path, is_measured=False) as found:
        found.home.save_settings({"migration": "bench", "api_url": server.url})
        yield found


@pytest.fixture
def tokens(site: SopSite) -> dict[str, str]:
    """A token of each person, also of one whom the plan does not list."""
    return {name: approver_tokens.add(site.store, ApproverToken(
        "bench", name, clock.now(), "root"))[1] for name in ("ann", "bob", "mallory")}


def code(site: SopSite, monkeypatch: pytest.MonkeyPatch, token: str, *given: str) -> str:
    """Make a code as a person does."""
    monkeypatch.setenv(VARIABLE, token)
    said = commands.changeover(site.home.root, "approver", "code", *given, "--output", "json")
    return str(json.loads(said[said.index("{"):])["code"])


def until_asked(site: SopSite, run: str) -> FlowRun:
    while (found := site.attempt("cutover", run)).state_type not in ("PAUSED", "COMPLETED"):
        continue
    return found


def fill_in(site: SopSite, run: str, **form: str) -> None:
    """Fill in the form and let the run read it."""
    def resumed() -> bool:
        site.api.resume(run, {"comment": "", "decision": "promote", **form})
        return True

    wait_for(resumed, what="the answer is taken")
    until_asked(site, run)


def refusals(site: SopSite) -> list[str]:
    assert audit.verify(site.store, "bench") == []
    return [f"{each.actor}: {each.data['reason']}" for each in audit.events(site.store, "bench")
            if each.kind == REFUSED]


def test_a_listed_person_approves_with_a_code_and_nobody_else_does(
    site: SopSite, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ann starts it: she may not approve it alone; bob may; mallory and a wrong code may not."""
    to_start = code(site, monkeypatch, tokens["ann"], "start", "--approver", "ann")
    run = site.start("cutover", started_by="ann", code=to_start)
    until_asked(site, run)
    fill_in(site, run, approver="mallory", code="AAAA-AAAA")
    fill_in(site, run, approver="bob", code="AAAA-AAAA")
    assert len(refusals(site)) == 2
    asked = approvals.open_for(site.store, "bench")
    assert asked is not None and "Who may answer:** ann, bob" in asked.question
    assert "ann started it" in asked.question
    # what would be refused anyway is refused at the command line, before the form
    monkeypatch.setenv(VARIABLE, tokens["ann"])
    said = commands.changeover(
        site.home.root, "approve", "promote", "--approver", "ann", code=4)
    assert "four eyes: another person must agree" in said
    typed = code(site, monkeypatch, tokens["bob"], "promote", "--approver", "bob")
    fill_in(site, run, approver="bob", code=typed)
    assert routing.read(site.store, "bench").weight == 10_000
    # every form was read again since; each refusal was counted once
    found = refusals(site)
    assert len(found) == 3
    assert found[0].startswith("mallory: mallory is not listed")
    assert found[1].startswith("bob: the code is wrong")
    second = approvals.open_for(site.store, "bench")
    assert second is not None and second.stage == "full"
    # the code that Prefect keeps is worth nothing
    fill_in(site, run, approver="bob", code=typed)
    assert approvals.open_for(site.store, "bench") is not None
    typed = code(site, monkeypatch, tokens["bob"], "promote", "--approver", "bob")
    fill_in(site, run, approver="bob", code=typed)
    assert site.api.run(run).state_name == "Promoted"  # type: ignore[union-attr]


def test_who_was_taken_from_the_list_since_has_not_agreed(
    server: PrefectServer, tmp_path: Path
) -> None:
    """Ann agreed, and an amendment unlists her: two others are needed."""
    plan = make_plan(health_timeout="60s", approvers={"names": ["ann", "bob", "cleo"]}, phases=[
        {"phase": "beta", "percent": 10, "soak": "0s", "approval": {"approvers": 2}},
        {"phase": "full", "soak": "0s"}])
    file = tmp_path / "plan.yaml"
    with sop_site(server, plan, tmp_path, is_measured=False) as site:
        site.home.save_settings({
            "migration": "bench", "api_url": server.url, "plan": str(file)})
        run = site.start("cutover")
        until_asked(site, run)
        fill_in(site, run, approver="ann")
        assert waiting_for(site)["agreed"] == ["ann"]
        document = plan.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        document["approvers"]["names"] = ["bob", "cleo"]
        file.write_text(json.dumps(document))
        for who in ("bob", "cleo"):
            commands.changeover(site.home.root, "plan", "amend", str(file), "--yes",
                                "--approver", who, "--reason", "ann has left")
        assert waiting_for(site)["agreed"] == []
        fill_in(site, run, approver="bob")
        waits = waiting_for(site)
        assert (waits["agreed"], waits["approver"]) == (["bob"], 2)
        assert routing.read(site.store, "bench").weight == 1_000
        asked = approvals.open_for(site.store, "bench")
        assert asked is not None and "This is approval 2 of 2" in asked.question
        fill_in(site, run, approver="cleo")
        assert site.api.run(run).state_name == "Promoted"  # type: ignore[union-attr]


def waiting_for(site: SopSite) -> dict[str, Any]:
    said = commands.changeover(site.home.root, "status", "--output", "json")
    found: dict[str, Any] = json.loads(said)["waiting_for"]
    return found
