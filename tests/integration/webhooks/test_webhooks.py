"""The webhook example from signature to comment, in every mode, with real processes throughout."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.domain.routing import Mode, System, decide
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.plan.load import load_plan
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.store import claims, rollbacks, routing, samples
from tests.integration.console.conftest import Served, started
from tests.support.processes import LONGEST_PAUSE, ROOT, free_port, running, wait_for

pytestmark = pytest.mark.integration

SECRET = "only GitHub knows it"
_numbers = itertools.count(1)


@dataclass
class Example:
    """Everything of the example, running."""

    console: Served
    receiver: str
    tracker: str

    def deliver(self, number: int, title: str = "App crashes", **changes: Any) -> httpx.Response:
        """Deliver an issue event as GitHub does."""
        body = json.dumps({
            "action": "opened", "sender": {"login": "octocat"},
            "issue": {"number": number, "title": title, "body": "a traceback", "labels": []},
            "repository": {"full_name": "acme/shop", "private": False}, **changes}).encode()
        sign = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"x-github-event": "issues", "x-hub-signature-256": f"sha256={sign}"}
        return httpx.post(f"{self.receiver}/webhooks/github", content=body, headers=headers,
                          timeout=LONGEST_PAUSE)

    def comments(self, number: int) -> list[dict[str, Any]]:
        """Return what was written on an issue."""
        return httpx.get(f"{self.tracker}/comments", timeout=LONGEST_PAUSE,
                         params={"item": f"acme:shop:{number}"}).json()

    def outcomes(self, system: str) -> int:
        now = clock.now()
        return samples.window(self.console.store, "issues", system, start=now - timedelta(hours=1),
                              end=now + timedelta(seconds=2)).outcomes


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    """The plan as shipped, on free ports: Envoy, console, both agents, tracker, receiver."""
    directory = tmp_path_factory.mktemp("webhooks")
    ports = {name: free_port() for name in ("baseline", "candidate", "tracker", "receiver", "in")}
    shipped = load_plan(ROOT / "plans" / "issues.yaml").model_dump(mode="json", by_alias=True)
    for name in ("baseline", "candidate"):
        shipped["systems"][name]["url"] = f"http://127.0.0.1:{ports[name]}"
    shipped["routing"]["listen"] = f"127.0.0.1:{ports['in']}"
    plan, home = Plan.model_validate(shipped), Home(directory / "home")
    home.create()
    gateway = Gateway(home.gateway_files)
    with ExitStack() as stack:
        console = started(stack, home, plan)
        gateway.prepare(plan, routing.read(console.store, "issues"))

        def run(name: str, *command: str, **env: str) -> None:
            log = directory / f"{name}.log"
            module = [sys.executable, "-m", f"examples.webhooks.{command[0]}", *command[1:]]
            stack.enter_context(running([*module, "--port", str(ports[name])], log, **env))

        tracker = f"http://127.0.0.1:{ports['tracker']}"
        stack.enter_context(running(envoy_command(gateway.files), directory / "envoy.log"))
        run("tracker", "tracker")
        for name in ("baseline", "candidate"):
            run(name, "agent", name, TRACKER_URL=tracker)
        run("receiver", "app", "--baseline", plan.systems.baseline.url, "--candidate",
            plan.systems.candidate.url, WEBHOOK_SECRET=SECRET, CONSOLE_URL=console.url,
            CONSOLE_TOKEN=console.token())
        for name in ("tracker", "baseline", "candidate", "receiver"):
            wait_for(lambda port=ports[name]: httpx.get(
                f"http://127.0.0.1:{port}/health").is_success, seconds=60, what=name)
        wait_for(gateway.admin.is_alive, what="envoy")
        yield Example(console, f"http://127.0.0.1:{ports['receiver']}", tracker)


@pytest.fixture(autouse=True)
def back_to_the_baseline(example: Example) -> Iterator[None]:
    """Every test begins with everyone at the baseline."""
    yield
    if routing.read(example.console.store, "issues").mode is not Mode.BASELINE_ONLY:
        example.console.move(Mode.BASELINE_ONLY)


@pytest.mark.parametrize(("mode", "weight"), [
    (Mode.BASELINE_ONLY, 0), (Mode.SHADOW, 0), (Mode.PARALLEL, 0), (Mode.GRADUAL, 5000),
    (Mode.CANDIDATE_ONLY, 0), (Mode.EMERGENCY_ROLLBACK, 0)], ids=lambda v: str(v))
def test_every_issue_is_done_once_by_the_system_whose_turn_it_is(
    example: Example, mode: Mode, weight: int
) -> None:
    """In each mode: decided, claimed, one comment, completed, reported; redelivered: nothing."""
    if mode is not Mode.BASELINE_ONLY:
        example.console.move(mode, weight)
    state = routing.read(example.console.store, "issues")
    before = {name: example.outcomes(name) for name in ("baseline", "candidate")}
    done: Counter[str] = Counter()
    for number in itertools.islice(_numbers, 8):
        item = f"acme:shop:{number}"
        answers = [example.deliver(number).json() for _ in range(2)]
        wanted = str(decide(state, item))
        assert answers[0]["status"] == "done" and answers[0]["system"] == wanted, answers
        assert (answers[1]["status"], answers[1]["why"]) == ("not done", "done")
        assert [comment["by"] for comment in example.comments(number)] == [wanted]
        found = claims.one(example.console.store, "issues", item)
        assert found is not None and found.status.value == "done" and found.system == wanted
        done[wanted] += 1
    if mode is Mode.PARALLEL:  # rehearsed by the candidate, measured, without effect
        done["candidate"] += 8
    assert {name: example.outcomes(name) - before[name] for name in before} == {
        "baseline": done["baseline"], "candidate": done["candidate"]}


@pytest.mark.parametrize("mode", [Mode.PARALLEL, Mode.GRADUAL])
def test_twenty_deliveries_at_once_have_one_effect(example: Example, mode: Mode) -> None:
    """GitHub delivers again while the first delivery is worked on: still one comment, and those
    that came meanwhile are told to come again."""
    example.console.move(mode, 5000 if mode is Mode.GRADUAL else 0)
    number = next(_numbers)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: example.deliver(number), range(20)))
    taken = [answer.json() for answer in answers if answer.is_success]
    assert [answer["status"] for answer in taken].count("done") == 1
    assert {answer["why"] for answer in taken if answer["status"] != "done"} <= {"done"}
    assert {answer.status_code for answer in answers if not answer.is_success} <= {503}
    assert len(example.comments(number)) == 1


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.PARALLEL, Mode.GRADUAL])
def test_in_maintenance_nothing_is_done_and_nothing_lost(example: Example, mode: Mode) -> None:
    """The overlay over any mode: GitHub is told to deliver again, and then it is done once."""
    example.console.move(mode, maintenance=True, maintenance_reason="moving house")
    number = next(_numbers)
    answer = example.deliver(number)
    assert answer.status_code == 503 and "maintenance" in answer.json()["detail"]
    assert answer.headers["retry-after"]
    assert example.comments(number) == []
    example.console.move(Mode.BASELINE_ONLY, maintenance=False)
    assert example.deliver(number).json()["status"] == "done"
    assert len(example.comments(number)) == 1


def test_a_failing_candidate_in_candidate_only_hands_over_and_rolls_back(
    example: Example,
) -> None:
    """The baseline does the issue in the same delivery, and everyone is back at the baseline."""
    example.console.move(Mode.CANDIDATE_ONLY)
    epoch = routing.read(example.console.store, "issues").epoch
    number = next(_numbers)
    answer = example.deliver(number, "[candidate fails] how to start?").json()
    assert (answer["status"], answer["system"]) == ("done", "baseline")
    assert [(each["by"], each["token"]) for each in example.comments(number)] == [("baseline", 2)]
    state = routing.read(example.console.store, "issues")
    assert (state.mode, state.epoch) == (Mode.EMERGENCY_ROLLBACK, epoch + 1)
    newest = rollbacks.latest(example.console.store, "issues")
    assert newest is not None and f"acme:shop:{number}" in newest.reason
    later = example.deliver(next(_numbers)).json()
    assert later["system"] == System.BASELINE


def test_a_failing_candidate_in_gradual_hands_over_and_nobody_else_moves(
    example: Example,
) -> None:
    """Gates and triggers judge the error rate; one issue is no reason to roll back."""
    example.console.move(Mode.GRADUAL, 9_999)
    number = next(_numbers)
    answer = example.deliver(number, "[candidate fails] how to start?").json()
    assert (answer["status"], answer["system"]) == ("done", "baseline")
    assert routing.read(example.console.store, "issues").mode is Mode.GRADUAL


def test_only_signed_issue_events_are_worked_on(example: Example) -> None:
    """A wrong signature is refused, other events are none of its business."""
    address = f"{example.receiver}/webhooks/github"
    forged = httpx.post(address, content=b"{}", timeout=LONGEST_PAUSE, headers={
        "x-github-event": "issues", "x-hub-signature-256": "sha256=" + "0" * 64})
    assert forged.status_code == 401
    number = next(_numbers)
    assert example.deliver(number, action="closed").json()["status"] == "ignored"
    assert example.comments(number) == []
    broken = example.deliver(number, issue={"number": "x"})
    assert broken.status_code == 422
