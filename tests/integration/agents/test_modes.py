"""The agents from signature to pull request, in every mode, with real processes throughout."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from changeover import clock
from changeover.analysis.improvement import SUCCESS, improvements
from changeover.checks.health.checks import checks_of
from changeover.checks.suites.claims import check_claims
from changeover.checks.suites.target import CheckTarget
from changeover.domain.health import Status
from changeover.domain.routing import Mode, System, decide
from changeover.domain.verdict import Verdict
from changeover.plan.suites import ClaimsCheck
from changeover.site.site import Site
from changeover.store import claims, rollbacks, routing, samples
from examples.agents.issues import event
from tests.integration.agents.conftest import Example
from tests.support import commands
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = pytest.mark.integration

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def back_to_the_baseline(example: Example) -> Iterator[None]:
    """Every test begins with everyone at the baseline."""
    yield
    if routing.read(example.console.store, "agents").mode is not Mode.BASELINE_ONLY:
        example.console.move(Mode.BASELINE_ONLY)


@pytest.mark.parametrize(("mode", "weight"), [
    (Mode.BASELINE_ONLY, 0), (Mode.SHADOW, 0), (Mode.PARALLEL, 0), (Mode.GRADUAL, 5000),
    (Mode.CANDIDATE_ONLY, 0), (Mode.EMERGENCY_ROLLBACK, 0)], ids=lambda v: str(v))
def test_every_issue_is_done_once_by_the_system_whose_turn_it_is(
    example: Example, mode: Mode, weight: int
) -> None:
    """In each mode: decided, claimed, resolved, completed, reported; redelivered: nothing."""
    if mode is not Mode.BASELINE_ONLY:
        example.console.move(mode, weight)
    state = routing.read(example.console.store, "agents")
    before = {name: example.outcomes(name) for name in ("baseline", "candidate")}
    done: Counter[str] = Counter()
    for number in itertools.islice(_numbers, 8):
        item = f"acme:shop:{number}"
        answers = [example.deliver(number).json() for _ in range(2)]
        wanted = str(decide(state, item))
        assert answers[0]["status"] == "done" and answers[0]["system"] == wanted, answers
        assert (answers[1]["status"], answers[1]["why"]) == ("not done", "done")
        assert [each["by"] for each in example.resolutions(number)] == [wanted]
        found = claims.one(example.console.store, "agents", item)
        assert found is not None and found.status.value == "done" and found.system == wanted
        done[wanted] += 1
    if mode is Mode.PARALLEL:  # rehearsed by the candidate, measured, without effect
        done["candidate"] += 8
    assert {name: example.outcomes(name) - before[name] for name in before} == {
        "baseline": done["baseline"], "candidate": done["candidate"]}


@pytest.mark.parametrize("mode", [Mode.PARALLEL, Mode.GRADUAL])
def test_twenty_deliveries_at_once_have_one_effect(example: Example, mode: Mode) -> None:
    """GitHub delivers again while the first delivery is worked on: resolved once, and those
    that came meanwhile are told to come again."""
    example.console.move(mode, 5000 if mode is Mode.GRADUAL else 0)
    number = next(_numbers)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: example.deliver(number), range(20)))
    taken = [answer.json() for answer in answers if answer.is_success]
    assert [answer["status"] for answer in taken].count("done") == 1
    assert {answer["why"] for answer in taken if answer["status"] != "done"} <= {"done"}
    assert {answer.status_code for answer in answers if not answer.is_success} <= {503}
    assert len(example.resolutions(number)) == 1


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.PARALLEL, Mode.GRADUAL])
def test_in_maintenance_nothing_is_done_and_nothing_lost(example: Example, mode: Mode) -> None:
    """The overlay over any mode: GitHub is told to deliver again, and then it is done once."""
    example.console.move(mode, maintenance=True, maintenance_reason="moving house")
    number = next(_numbers)
    answer = example.deliver(number)
    assert answer.status_code == 503 and "maintenance" in answer.json()["detail"]
    assert answer.headers["retry-after"]
    assert example.resolutions(number) == []
    example.console.move(Mode.BASELINE_ONLY, maintenance=False)
    assert example.deliver(number).json()["status"] == "done"
    assert len(example.resolutions(number)) == 1


def test_a_failing_candidate_in_candidate_only_hands_over_and_rolls_back(
    example: Example,
) -> None:
    """The baseline does the issue in the same delivery, and everyone is back at the baseline."""
    example.console.move(Mode.CANDIDATE_ONLY)
    epoch = routing.read(example.console.store, "agents").epoch
    number = next(_numbers)
    answer = example.deliver(number, "[candidate fails] how to start?").json()
    assert (answer["status"], answer["system"]) == ("done", "baseline")
    (found,) = example.resolutions(number)
    assert (found["by"], found["token"]) == ("baseline", 2)
    state = routing.read(example.console.store, "agents")
    assert (state.mode, state.epoch) == (Mode.EMERGENCY_ROLLBACK, epoch + 1)
    newest = rollbacks.latest(example.console.store, "agents")
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
    assert routing.read(example.console.store, "agents").mode is Mode.GRADUAL


def test_only_signed_issue_events_are_worked_on(example: Example) -> None:
    """A wrong signature is refused, other events are none of its business."""
    address = f"{example.address('receiver')}/webhooks/github"
    headers = {"x-github-event": "issues", "x-github-delivery": "72d3162e-cc78",
               "x-hub-signature-256": "sha256=" + "0" * 64}
    forged = httpx.post(address, content=b"{}", timeout=LONGEST_PAUSE, headers=headers)
    assert forged.status_code == 401
    number = next(_numbers)
    assert example.deliver(number, action="closed").json()["status"] == "ignored"
    assert example.resolutions(number) == []
    broken = example.deliver(number, issue={"number": "x"})
    assert broken.status_code == 422


def test_in_parallel_the_systems_are_compared_in_numbers(example: Example) -> None:
    """Both work on the same issues, one has effects; whether they agree, and who is better."""
    example.console.move(Mode.PARALLEL)
    # outcomes are summed up by whole seconds, and those of other tests shall not count
    began = clock.now() + timedelta(seconds=1)
    wait_for(lambda: clock.now() > began, what="the next second")
    # one that people filled in carelessly is among them: the old agent breaks the build with it
    for number in range(1, 13):
        assert example.send(event(number, repository="acme/compared")).json()["status"] == "done"
    old, new = (samples.window(
        example.console.store, "agents", system, start=began,
        end=clock.now() + timedelta(seconds=2)) for system in System)
    found = {each.name: each for each in improvements(old, new)}
    assert found[SUCCESS].by > 0 < found["quality_score"].by
    assert found["build_success"].candidate == 1 > found["build_success"].baseline
    assert new.quality["agrees"][0] >= 12
    assert len(example.resolutions("acme:compared:1")) == 1
    told = json.loads(commands.changeover(
        example.console.home.root, "outcomes", "--hours", "1", "--output", "json"))
    assert {"success_rate_improvement", "duration_improvement"} <= told["comparison"].keys()
    assert {"quality_score", "build_success"} <= told["comparison"]["quality_improvement"].keys()


def test_an_agent_that_forgets_what_it_did_is_found(example: Example) -> None:
    """The systems and the claims are compared: first they agree, then one issue is named."""
    site = Site(example.console.home, example.console.plan, example.console.store)
    check = ClaimsCheck.model_validate({"kind": "claims", "path": "/issues", "grace": 0})
    example.console.move(Mode.GRADUAL, 9_999)
    assert example.deliver(next(_numbers)).json()["system"] == "candidate"
    assert check_claims(check, CheckTarget.of(site)).verdict is Verdict.PASS
    example.fault("candidate", "inconsistent")
    number = next(_numbers)
    assert example.deliver(number).json()["status"] == "done"
    example.fault("candidate", "none")
    found = check_claims(check, CheckTarget.of(site))
    assert found.verdict is Verdict.FAIL
    said = "completed by the candidate, which says that it still works on it"
    assert f"acme:shop:{number}: {said}" in found.reason
    health = checks_of(site)["claims"]
    assert health().status is Status.HEALTHY  # issues of the last minute are being worked on


def test_a_router_that_gives_an_issue_to_both_has_one_effect(example: Example) -> None:
    """Double processing is tried, and the claims refuse it."""
    example.console.move(Mode.GRADUAL, 5_000)
    example.fault("receiver", "double")
    for number in itertools.islice(_numbers, 6):
        answer = example.deliver(number).json()
        assert answer["status"] == "done" and len(example.resolutions(number)) == 1
        found = claims.one(example.console.store, "agents", f"acme:shop:{number}")
        assert found is not None and (found.system, found.token) == (answer["system"], 1)
    example.fault("receiver", "none")
