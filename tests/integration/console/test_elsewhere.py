"""A console on another machine: a home of its own, the database, and nothing else of anybody."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from changeover import clock
from changeover.console.pages.views import VIEWS
from changeover.domain.rollout import CutoverStatus
from changeover.domain.routing import Mode
from changeover.domain.tokens import Scope, Token
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import audit, cutovers, freezes, heartbeats, plans, routing, tokens
from changeover.store.engine import Store
from reports.evidence import collect
from reports.render import forms_of
from tasks.report import save_forms
from tests.integration.conftest import make_plan
from tests.store.conftest import new_database, postgres_template, postgres_url
from tests.support.browsing import act, opened, sign_in
from tests.support.commands import changeover
from tests.support.processes import free_port, kill, running, wait_for

__all__ = ["postgres_template", "postgres_url"]  # fixtures
pytestmark = [pytest.mark.integration, pytest.mark.postgres]


@dataclass
class Elsewhere:
    """A console that shares a database with whatever else there is, and its address."""

    home: Path
    store: Store
    command: list[str]
    log: Path
    url: str
    stack: ExitStack

    def start(self) -> None:
        self.process = self.stack.enter_context(running(self.command, self.log))
        wait_for(lambda: httpx.get(f"{self.url}/health").is_success, seconds=60,
                 what="the console elsewhere")

    def browser(self) -> httpx.Client:
        """Return a browser of somebody who may act."""
        wanted = Token("bench", secrets.token_hex(4), Scope.ADMIN, clock.now(), "test")
        client = self.stack.enter_context(opened(self.url))
        assert sign_in(client, tokens.create(self.store, wanted)[1]).status_code == 303
        return client


@pytest.fixture(scope="module")
def elsewhere(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, postgres_template: str
) -> Iterator[Elsewhere]:
    """The console of a migration of which no other process runs, as after a machine was lost."""
    url = new_database(postgres_url, template=postgres_template).replace(
        "postgresql://", "postgresql+psycopg://")
    folder, port = tmp_path_factory.mktemp("elsewhere"), free_port()
    store = Store.open(url)
    for name in ("bench", "other"):
        plan = make_plan(migration=name)
        plans.register(store, plan, source="test", now=clock.now())
    command = [
        sys.executable, "-m", "changeover.cli", "console", "--store", url, "--migration", "bench",
        "--name", "desk-1", "--listen", f"127.0.0.1:{port}", "--home", str(folder / "home")]
    with ExitStack() as stack:
        stack.callback(store.close)
        found = Elsewhere(
            folder / "home", store, command, folder / "log", f"http://127.0.0.1:{port}", stack)
        found.start()
        yield found


def test_it_serves_what_a_flow_on_a_third_machine_has_rendered(
    elsewhere: Elsewhere, tmp_path: Path
) -> None:
    """Byte for byte, from the database; no file of that machine is here."""
    site = Site(Home(tmp_path / "third"), plans.load(elsewhere.store, "bench"), elsewhere.store)
    data = collect(site.store, site.plan, None, now=clock.now())
    save_forms(site, "bench-status", forms_of(data), subject="cutover")
    files = list(site.home.reports.iterdir())
    assert len(files) == 3
    for file in files:
        assert httpx.get(f"{elsewhere.url}/reports/{file.name}").content == file.read_bytes()
    assert not list(elsewhere.home.rglob("bench-status*"))


@pytest.mark.parametrize("view", [view.name for view in VIEWS])
def test_every_page_is_there(elsewhere: Elsewhere, view: str) -> None:
    """Also those about the gateway, which say what gateways said in the store."""
    address = f"{elsewhere.url}/pages/{view}"
    wait_for(lambda: "The first figures come" not in httpx.get(address, timeout=60).text,
             seconds=60, what=f"page {view}")
    found = httpx.get(address, timeout=60)
    assert found.status_code == 200
    if view == "migrations":
        assert "other" in found.text and "this one" in found.text
    if view in ("feature-flags", "system-health"):
        assert "none was ever heard of" in found.text


def test_programs_get_what_they_get_anywhere(elsewhere: Elsewhere) -> None:
    """Status, decisions and metrics."""
    assert httpx.get(f"{elsewhere.url}/v1/status").json()["migration"] == "bench"
    assert httpx.get(f"{elsewhere.url}/v1/decision/user-1").json()["system"] == "baseline"
    text = httpx.get(f"{elsewhere.url}/metrics").text
    assert "changeover_routing_epoch" in text


def test_it_gives_its_own_sign_of_life(elsewhere: Elsewhere) -> None:
    """Under its name: it must not pass for the main machine's, whose death is looked for."""
    def names() -> set[str]:
        return {each.service for each in heartbeats.of(elsewhere.store, "bench")}

    wait_for(lambda: "console desk-1" in names(), what="its sign of life")
    assert "console" not in names()


def end_all(elsewhere: Elsewhere, browser: httpx.Client) -> None:
    """End what a test has begun, from the console: the next one finds the baseline."""
    if routing.read(elsewhere.store, "bench").mode is not Mode.EMERGENCY_ROLLBACK:
        act(browser, "emergency", reason="the test is over")
    act(browser, "recover", reason="the test is over")
    assert routing.read(elsewhere.store, "bench").mode is Mode.BASELINE_ONLY


def test_what_goes_through_the_store_is_done(elsewhere: Elsewhere) -> None:
    """A freeze and a pause, under the person's name."""
    browser = elsewhere.browser()
    assert "frozen by" in act(browser, "freeze", until="2d", reason="board meeting").text
    assert freezes.active(elsewhere.store, "bench", now=clock.now()) is not None
    assert act(browser, "unfreeze", reason="it is over").status_code == 200
    begun = cutovers.begin(elsewhere.store, "bench", flow_run_id="run", now=clock.now())
    said = act(browser, "pause", reason="wait for the auditors").text
    assert f"cutover {begun.id} is paused" in said
    # without Prefect's address nobody is woken from here
    assert "the observer wakes the run" in said
    # while a cutover runs nobody may set the mode by hand
    cutovers.finish(elsewhere.store, begun.id, CutoverStatus.STOPPED, outcome="the test is over",
                    now=clock.now())
    end_all(elsewhere, browser)


def test_users_are_moved_by_the_store_and_who_confirmed_is_said(elsewhere: Elsewhere) -> None:
    """No gateway runs: the state is changed, and nobody claims that it is served."""
    store = elsewhere.store
    said = act(elsewhere.browser(), "maintenance-on", reason="a new disk").text
    assert "no gateway confirmed it" in said
    assert routing.read(store, "bench").maintenance
    act(elsewhere.browser(), "maintenance-off", reason="it is there")
    said = act(elsewhere.browser(), "mode", mode="gradual", percent="50", reason="by hand").text
    assert "no gateway confirmed it" in said
    assert routing.read(store, "bench").weight == 5000
    said = act(elsewhere.browser(), "emergency", reason="answers are wrong").text
    assert "no gateway confirmed it" in said
    assert routing.read(store, "bench").mode is Mode.EMERGENCY_ROLLBACK
    end_all(elsewhere, elsewhere.browser())
    assert audit.verify(store, "bench") == []


def test_killed_and_started_again_it_goes_on(elsewhere: Elsewhere) -> None:
    """It keeps nothing that another start would miss."""
    kill(elsewhere.process)
    elsewhere.start()
    assert httpx.get(f"{elsewhere.url}/reports/bench-nothing.html").status_code == 404


@pytest.mark.parametrize(("arguments", "said", "code"), [
    (["--store", "sqlite:///x.db"], "a database that it reaches", 2),
    (["--store", "postgresql://x/y", "--name", "Desk 1"], "is no name", 2),
    (["--store", "postgresql://x/y", "--listen", "nowhere"], "--listen", 2),
])
def test_what_cannot_be_is_said_in_one_message(
    tmp_path: Path, arguments: list[str], said: str, code: int
) -> None:
    """With what is allowed, and before anything is made."""
    rest = [] if "--name" in arguments else ["--name", "desk-1"]
    found = changeover(
        tmp_path / "home", "console", "--migration", "bench", *rest, *arguments, code=code)
    assert said in found and "Traceback" not in found


def test_the_home_of_the_main_machine_is_refused(tmp_path: Path) -> None:
    """There the console of `changeover up` runs, with the gateway beside it."""
    home = Home(tmp_path)
    home.create()
    home.save_settings({"migration": "bench"})
    found = changeover(tmp_path, "console", "--store", "postgresql://x/y", "--migration", "bench",
                       "--name", "desk-1", code=4)
    assert "belongs to `changeover up`" in found
