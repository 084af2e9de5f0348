"""The chat from end to end: every trigger of its plan, users in the middle of conversations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from changeover import clock
from changeover.domain.routing import Mode, System, decide
from changeover.gateway.accesslog import SERVED_BY, parse_line
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerAction
from changeover.store import audit, routing, samples
from examples.chat.load import STRICT
from tests.support.migration import Migration
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration
TAKES_MINUTES = 10
EXAMPLE = "chat"
ANSWERS = 40
"""Answers before a fault begins: a second or two of this example's users."""

TRANSPORTS = {"json", "polling", "callback", "sse", "websocket"}
EVERYBODY = 400
"""Answers in which each of the 300 users has come again, nearly surely."""

ROLLBACKS = [
    ("errors", 50, "errors"), ("errors", 25, "limited_errors"), ("slow", 50, "slow"),
    ("memory", 50, "memory_leak"), ("server_errors", 50, "server_errors"), ("hang", 50, "down"),
    ("lost", 50, "delivery"), ("doubled", 50, "delivery"), ("callbacks", 50, "delivery"),
    ("wrong", 50, "wrong_answers")]
"""Fault, percentage, and the trigger that takes everyone back."""
REVIEWS = [
    ("sluggish", "slow_warning"), ("swollen", "memory_warning"), ("complaints", "complaints"),
    ("bloated", "kpi_memory"), ("cpu", "kpi_cpu")]
"""Fault, and the trigger that moves nobody: people review, or are only told."""

CHANGED: dict[str, dict[str, Any]] = {
    # at this speed the plan's five minutes and one are the same three seconds
    "errors": {"for_": timedelta(seconds=8)},
    # one or two of 500: in two seconds a busy machine has not so many answers
    "errors_warning": {"over": timedelta(seconds=20), "min_samples": 500},
    # 35 ms are less than what a busy machine adds
    "slow_warning": {"between": ["165ms", "450ms"]},
}
"""What a busy machine needs of some triggers."""


def adapt(plan: Plan) -> Plan:
    """Return the plan as a busy machine can run it."""
    triggers = [each.model_copy(update=CHANGED.get(each.name, {})) for each in plan.triggers]
    return plan.model_copy(update={"triggers": triggers})


def flaws(figures: dict[str, Any]) -> dict[str, int]:
    """Return what went wrong that no gateway sees."""
    return {name: figures.get(name, 0) for name in STRICT if figures.get(name)}


def settled(running: Migration) -> dict[str, int]:
    """Return what went wrong so far, when no earlier case's fault is felt any more."""
    known, has_been_steady = flaws(running.users()), running.after_answers(EVERYBODY)

    def is_over() -> bool:
        nonlocal known, has_been_steady
        if (found := flaws(running.users())) != known:
            known, has_been_steady = found, running.after_answers(EVERYBODY)
        return has_been_steady()

    wait_for(is_over, seconds=120, what="nothing more goes wrong")
    return known


def grown(running: Migration, name: str, by: int = 1, percent: int = 50) -> None:
    """Wait until a figure of the users has grown."""
    before = running.count(name)
    running.meanwhile(percent, lambda: running.count(name) >= before + by, name)


def test_users_keep_their_conversations_while_they_are_moved(running: Migration) -> None:
    """Nothing is lost or doubled, callbacks come once, states go on, by every transport."""
    before, seen = settled(running), running.users()
    for percent in (25, 75, 50):
        grown(running, "moved", 5, percent)
    figures = running.users()
    assert flaws(figures) == before
    assert figures["moved_with_state"] - seen.get("moved_with_state", 0) \
        == figures["moved"] - seen.get("moved", 0) >= 15
    running.meanwhile(50, lambda: set(running.users()["transports"]) == TRANSPORTS,
                      f"answers by {TRANSPORTS}")
    running.meanwhile(50, lambda: running.count("callbacks") > 0, "callbacks")


def test_clients_report_business_metrics(running: Migration) -> None:
    """Resolved questions, turns of a talk, events of streams: of the system that answered."""
    for name in ("resolved", "talk_turns", "events"):
        metric = f"outcome.{name}"
        running.meanwhile(50, partial(measured, running, metric), metric)
    # an earlier case's fault leaves the minute that is measured
    running.meanwhile(50, lambda: measured(running, "outcome.resolved") == pytest.approx(1),
                      "every question is resolved")


def measured(running: Migration, metric: str) -> float | None:
    """Return a metric of the candidate over the last minute."""
    now = clock.now()
    window = samples.window(
        running.store, running.migration, "candidate", start=now - timedelta(minutes=1), end=now)
    return window.measure(metric).value


def test_the_three_dashboards_show_the_chat(running: Migration) -> None:
    """System health, feature flags and user experience, of both systems."""
    grown(running, "outcomes")
    for page, words in {
        "system-health": ("legacy-transport", "protocol-agnostic-transport", "Memory"),
        "feature-flags": ("useNewArchitecture", "enableAGUIEvents", "errors_warning"),
        "user-experience": ("resolved", "protocol-agnostic-transport"),
    }.items():
        wait_for(partial(has_all, running, page, words), seconds=60,
                 what=f"page {page} shows {words}")


def has_all(running: Migration, page: str, words: tuple[str, ...]) -> bool:
    """Whether a page of the console shows these words; right after a start it does not yet."""
    url = f"{running.stack.console_url}/pages/{page}"
    found = httpx.get(url, timeout=60, trust_env=False, follow_redirects=True)
    return found.status_code == 200 and all(word in found.text for word in words)


def test_the_staging_suite_passes(running: Migration) -> None:
    """Phase 0: conversations by every transport, recorded messages, load, soak, security."""
    text = running.changeover("validate", "staging")
    assert "conversations by every transport" in text


def test_a_stream_reaches_the_user_piece_by_piece(running: Migration) -> None:
    """The gateway passes each event on when it comes: the first long before the last."""
    running.meanwhile(50, lambda: running.users()["first_piece_p50"], "streams")
    figures = running.users()
    assert figures["first_piece_p50"] < 0.75 * figures["p50"]


@pytest.mark.parametrize(("kind", "percent", "trigger"), ROLLBACKS)
def test_a_fault_ends_in_a_rollback(
    running: Migration, kind: str, percent: int, trigger: str
) -> None:
    """By the trigger that the strategy names; afterwards conversations go on."""
    try:
        running.provoke(kind, trigger, percent, answers=ANSWERS, copies=kind == "wrong")
        running.wait_rolled_back(90)
    finally:
        running.end_fault(kind)
    wait_for(running.after_answers(20), seconds=60, what="answers")


@pytest.mark.parametrize(("kind", "trigger"), REVIEWS)
def test_a_warning_moves_nobody(running: Migration, kind: str, trigger: str) -> None:
    """People review it before the next stage, or are told; it takes nobody back by itself."""
    try:
        running.provoke(kind, trigger, answers=ANSWERS)
    finally:
        running.end_fault(kind)
    (spec,) = [each for each in running.staged.plan.triggers if each.name == trigger]
    assert spec.action is not TriggerAction.ROLLBACK


def test_few_errors_are_reviewed_by_people(running: Migration) -> None:
    """Between 0.2 % and 0.5 %: enough requests that such a share can be seen in 20 seconds."""
    running.meanwhile(50, running.is_served, "users are moved")
    try:
        with reading(running, 40):
            running.provoke("few_errors", "errors_warning", answers=ANSWERS)
    finally:
        running.end_fault("few_errors")


@contextlib.contextmanager
def reading(running: Migration, rate: float) -> Iterator[None]:
    """Have users of the candidate read conversations, `rate` times a second."""
    url = f"http://{running.staged.plan.routing.listen}/api/conversations/none"
    keys = [key for key in map("reader-{}".format, range(200)) if _is_moved(running, key)]
    stop = False

    def read(begin: float) -> None:
        due = time.monotonic() + begin
        with httpx.Client(trust_env=False) as client:
            while not stop:
                time.sleep(max(0.0, due - time.monotonic()))
                due += 8 / rate
                with contextlib.suppress(httpx.HTTPError):
                    client.get(url, headers={"x-user-id": keys[int(due * 1e6) % len(keys)]})

    with ThreadPoolExecutor(8) as threads:
        for number in range(8):
            threads.submit(read, number / rate)
        try:
            yield
        finally:
            stop = True


def _is_moved(running: Migration, key: str) -> bool:
    state = routing.read(running.store, running.migration)
    return decide(state, key) is System.CANDIDATE


def test_a_rollback_takes_less_than_a_second_and_a_half(running: Migration) -> None:
    """From the trigger to the last request that the candidate was given; 30 s are allowed."""
    try:
        running.provoke("server_errors", "server_errors", answers=ANSWERS)
        running.wait_rolled_back(90)
    finally:
        running.end_fault("server_errors")
    fired = audit.newest_of(running.store, running.migration, "trigger.fired")
    assert fired is not None
    assert max(begun_at(running)) - fired.at.timestamp() < 1.5


def begun_at(running: Migration) -> list[float]:
    """Return when each request began that the candidate answered."""
    hosts = {}
    for name, system in SERVED_BY.items():
        hosts[running.staged.plan.system(name).url.partition("://")[2].rstrip("/")] = system
    found = []
    for line in Path(running.home.gateway_files.access_log).read_bytes().splitlines():
        entry = parse_line(line, hosts)
        if entry is not None and entry.served_by is System.CANDIDATE:
            found.append(entry.end - entry.duration_us / 1e6)
    return found


def test_beta_users_alone_go_back(running: Migration) -> None:
    """Everyone else stays where they are, and the beta users keep their conversations."""
    before = settled(running)
    running.meanwhile(25, running.is_served, "users are moved")
    running.site.prefect.start("rollback/main", parameters={
        "migration": running.migration, "scope": "segment:beta", "reason": "beta users complain"})
    wait_for(lambda: routing.read(running.store, running.migration).kept == ("beta",),
             seconds=120, what="the beta users are back")
    state = routing.read(running.store, running.migration)
    assert (state.mode, state.weight) == (Mode.GRADUAL, 2500)
    wait_for(running.after_answers(50), seconds=60, what="answers")
    assert flaws(running.users()) == before
