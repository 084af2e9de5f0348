"""A whole cutover in which every process has a role of its own on PostgreSQL, with its rights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from changeover import clock
from changeover.domain.rollbacks import RollbackStatus
from changeover.domain.routing import Mode
from changeover.domain.tokens import ApproverToken, Scope, Token
from changeover.site.home import STORE_VARIABLE
from changeover.store import approver_tokens, audit, rollbacks, routing, tokens
from tests.flows.test_sop_kills import plan_of
from tests.store.conftest import new_database, postgres_template, postgres_url
from tests.support.browsing import act, opened, sign_in
from tests.support.commands import changeover
from tests.support.processes import free_port, running, wait_for
from tests.support.roles import granted
from tests.support.sop_site import PrefectServer, SopSite, sop_site

WRITES = [
    ("/v1/claims/a", {"system": "candidate", "holder": "worker-1"}),
    ("/v1/outcomes", {"id": "o-1", "system": "candidate", "success": True})]
__all__ = ["postgres_template", "postgres_url"]  # fixtures
pytestmark = [pytest.mark.integration, pytest.mark.postgres]


@pytest.fixture
def roles(postgres_url: str, postgres_template: str) -> Iterator[dict[str, str]]:
    """The address of a store for each role."""
    with granted(new_database(postgres_url, template=postgres_template)) as found:
        yield found


@pytest.fixture
def shared(
    server: PrefectServer, roles: dict[str, str], tmp_path: Path
) -> Iterator[tuple[SopSite, str]]:
    """A migration whose flows, observer and console have roles of their own; and the console."""
    with ExitStack() as stack:
        plan = plan_of(tmp_path)
        assert plan.cutover.backup is not None
        # that takes the owner's rights
        backup = plan.cutover.backup.model_copy(update={"store": False})
        plan = plan.model_copy(update={
            "cutover": plan.cutover.model_copy(update={"backup": backup})})
        site = stack.enter_context(sop_site(
            server, plan, tmp_path, is_measured=False, store_url=roles["owner"]))
        # whatever opens this home's store from now on is a worker, unless its environment says else
        site.home.save_secrets({"store_url": roles["worker"]})
        site.home.save_settings({"migration": "bench", "api_url": server.url})
        port = free_port()
        for service, options in (("observer", []), ("console", ["--port", str(port)])):
            stack.enter_context(running(
                [sys.executable, "-m", f"changeover.{service}", "--home", str(site.home.root),
                 "--migration", "bench", *options], site.home.logs / f"{service}.log",
                **{STORE_VARIABLE: roles[service]}))
        stack.enter_context(running(
            [sys.executable, "-m", "examples.metadata.load", "--url", site.bench.url, "--rate",
             "15", "--stats", str(tmp_path / "load.json")], tmp_path / "load.log"))
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: httpx.get(f"{url}/health").is_success, seconds=60, what="console")
        yield site, url


def test_the_printed_rights_are_enough_for_a_cutover_and_a_rollback(
    shared: tuple[SopSite, str], roles: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flows, observer, console and people each do their part; nothing is refused to any of them."""
    site, url = shared

    def people() -> str:
        """An approver steers by the command line, while the cutover waits."""
        with monkeypatch.context() as patched:
            patched.setenv(STORE_VARIABLE, roles["approver"])
            for command in ("freeze on --reason week-end", "freeze off --reason monday",
                            "approver list", "pause --reason lunch", "resume --reason lunch"):
                changeover(site.home.root, *command.split())
        return "promote"

    assert site.carry_out("cutover", decisions=[people]).state_type == "COMPLETED"
    at_the_console(site, url)
    begun, = rollbacks.all_of(site.store, "bench")
    site.carry_out("rollback", reason=begun.reason, rollback_id=begun.id)
    assert rollbacks.all_of(site.store, "bench")[-1].status is RollbackStatus.COMPLETED
    assert audit.verify(site.store, "bench") == []
    changeover(site.home.root, "recover", "--reason", "it is mended")
    for log in (site.home.logs / "observer.log", site.home.logs / "console.log", site.server.log):
        assert "permission denied" not in log.read_text(), log.name


def at_the_console(site: SopSite, url: str) -> None:
    """Read every page, claim and report as applications do, and go back as a person does."""
    now = clock.now()
    token = tokens.create(site.store, Token(
        "bench", "app", Scope.WRITE, created_at=now, created_by="test", expires_at=None))[1]
    person = approver_tokens.add(site.store, ApproverToken("bench", "alice", now, "test"))[1]
    bearer = {"authorization": f"Bearer {token}"}
    with opened(url) as browser:
        for page in ("/", "/rollout", "/metrics", "/health", "/v1/decision?key=ann"):
            assert browser.get(page, headers=bearer).status_code < 500, page
        for path, body in WRITES:
            assert browser.post(path, json=body, headers=bearer).is_success, path
        assert sign_in(browser, person).status_code == 303
        for action, fields in (("freeze", {}), ("unfreeze", {}), ("emergency", {})):
            assert "permission denied" not in act(browser, action, **fields).text
    wait_for(lambda: routing.read(site.store, "bench").mode is Mode.EMERGENCY_ROLLBACK,
             what="everyone goes back")
