"""Decisions in a real Prefect server's feed, and automations that act on them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from changeover import clock
from changeover.domain.audit import NewEvent
from changeover.domain.decisions import event_id
from changeover.domain.rollout import Approval
from changeover.notify.prefect_events import PrefectFeed
from changeover.notify.relaying import Relaying
from changeover.site import automations
from changeover.site.automations import Ids
from changeover.site.prefect_api import PrefectApi
from changeover.store import approvals, audit, cutovers, plans, relays
from changeover.store.engine import Store
from tests.integration.conftest import make_plan
from tests.integration.notify.test_outbox import hook
from tests.support.prefect_runs import Prefect, prefect_alone
from tests.support.processes import LONGEST_PAUSE, ROOT, free_port, wait_for
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration
RESOURCE = "changeover.migration.bench"
BLOCK = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock as Webhook

Webhook(name="team", url=sys.argv[1], allow_private_urls=True, method="POST",
        json_data={"subject": "{{subject}}", "text": "{{body}}"}).save("team")
"""


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """One server for this file: each test has a store of its own, and so other ids."""
    with prefect_alone(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of the migration `bench`."""
    opened = ready_store(f"sqlite:///{tmp_path / 'store.db'}", timeout=LONGEST_PAUSE)
    plans.register(opened, make_plan(), source="test", now=clock.now())
    yield opened
    opened.close()


def relaying(store: Store, api: PrefectApi, at: datetime | None = None) -> Relaying:
    now = (lambda: at) if at else clock.now
    return Relaying(store, "bench", PrefectFeed(api, now), now)


def decide(store: Store, kind: str, at: datetime | None = None, **data: Any) -> None:
    audit.record(store, "bench", NewEvent("ann", kind, data, at or clock.now()))


def feed(prefect: Prefect, name: str = "changeover.") -> list[dict[str, Any]]:
    """Return the migration's events in Prefect's feed, oldest first."""
    found = prefect.post("/events/filter", {"limit": 50, "filter": {
        "event": {"prefix": [name]}, "resource": {"id": [RESOURCE]}, "order": "ASC"}})
    return list(found["events"])


def run_program(prefect: Prefect, home: Path, *command: str) -> str:
    """Run one of Prefect's programs against the server."""
    env = {"PREFECT_API_URL": prefect.url, "PATH": "/usr/bin:/bin", "HOME": str(home)}
    done = subprocess.run(
        [*command], env=env, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_PAUSE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_decision_is_in_the_feed_once_whoever_is_killed(
    prefect: Prefect, store: Store
) -> None:
    """Sent again after a kill between Prefect's answer and our record, it is the same event."""
    decide(store, "freeze.on", reason="closing", until=None)
    decide(store, "approver.code", about="start")
    decide(store, "gate.judged", stage="beta-5", verdict="pass", flow_run_id="a-run")
    api = prefect.api
    feed_of_prefect = PrefectFeed(api, clock.now)
    assert feed_of_prefect.deliver(audit.events(store, "bench")[:2]) == ""
    assert relaying(store, api).run() == 3
    own = {str(event_id(event)) for event in audit.events(store, "bench")}
    wait_for(lambda: len([each for each in feed(prefect) if each["id"] in own]) == 3)
    found = [each for each in feed(prefect) if each["id"] in own]
    assert [each["event"] for each in found] == [
        "changeover.plan.registered", "changeover.freeze.on", "changeover.gate.judged"]
    last = found[-1]
    assert last["payload"]["facts"]["verdict"] == "pass"
    assert last["resource"]["changeover.late"] == "false"
    assert last["resource"]["changeover.subject"] == "beta-5"
    assert last["related"][0]["prefect.resource.id"] == "prefect.flow-run.a-run"


def test_what_prefect_missed_it_gets_later_and_marked_as_late(
    prefect: Prefect, store: Store
) -> None:
    """Its automations must not act on what is long over."""
    away, begin = PrefectApi(f"http://127.0.0.1:{free_port()}/api"), clock.now()
    assert relaying(store, away, begin).run() == 0
    (place,) = relays.all_of(store, "bench")
    assert "does not answer" in place.problem
    assert relaying(store, prefect.api, begin + timedelta(minutes=15)).run() == 1
    own = str(event_id(audit.events(store, "bench")[0]))
    found = wait_for(lambda: [each for each in feed(prefect) if each["id"] == own])
    assert found[0]["resource"]["changeover.late"] == "true"


def test_automations_of_the_file_notify_and_roll_back(
    prefect: Prefect, store: Store, tmp_path: Path
) -> None:
    """Applied by Prefect's own command; a late event moves nobody, the fresh one does, once."""
    event = "changeover.suite.fail"
    with hook() as server:
        run_program(prefect, tmp_path, sys.executable, "-c", BLOCK, f"http://{server.address}")
        ids = automations.ids_of(prefect.api, "custom-webhook/team")
        file = tmp_path / "automations.yaml"
        file.write_text(yaml.safe_dump(automations.automations("bench", ids, event)))
        program = str(Path(sys.executable).with_name("prefect"))
        run_program(prefect, tmp_path, program, "automation", "create", "--from-file", str(file))
        cutover = cutovers.begin(store, "bench", flow_run_id="a-run", now=clock.now())
        approvals.ask(store, Approval(
            cutover.id, "gradual-50", 1, 1, 0, "May it go on?", clock.now(), flow_run_id="a-run"))
        decide(store, "suite.fail", clock.now() - timedelta(hours=1), suite="old", run=1)
        decide(store, "suite.fail", suite="new", run=2, reason="orders are missing")
        wait_for(lambda: relaying(store, prefect.api).run() == 0 and server.got, what="notified")
    told = server.got[0][1]
    assert told["subject"] == "bench waits for a person: gradual-50"
    assert "flow run a-run" in told["text"]
    runs = wait_for(lambda: prefect.api.runs(["rollback"], ["SCHEDULED"]), what="a rollback")
    found = httpx.get(f"{prefect.url}/flow_runs/{runs[0].id}", timeout=60).json()
    assert found["parameters"] == {
        "migration": "bench", "severity": "critical",
        "reason": "changeover.suite.fail: orders are missing"}
    assert len(runs) == 1


def test_a_server_says_whether_its_automations_act(prefect: Prefect) -> None:
    """By default Prefect's do; those of `changeover up` do not, and the command says so."""
    assert prefect.api.acts_on_events()


def test_applying_again_replaces_and_does_not_repeat(prefect: Prefect) -> None:
    """Prefect's own command makes a second one, which would roll back a second time."""
    made = automations.automations("shop", automations.ids_of(prefect.api, ""), "acme.alert")
    assert automations.apply(prefect.api, made) == ["created shop: roll back on acme.alert"]
    assert automations.apply(prefect.api, made) == ["replaced shop: roll back on acme.alert"]


def test_the_file_in_the_docs_is_what_the_command_prints() -> None:
    """But for the ids, which are another server's."""
    page = yaml.safe_load((ROOT / "docs" / "automations" / "documents.yaml").read_text())
    ids = Ids(*(f"00000000-0000-0000-0000-00000000000{number}" for number in (1, 2)))
    assert page == automations.automations("documents", ids, "acme.alert")
