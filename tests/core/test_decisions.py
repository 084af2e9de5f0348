"""Decisions as others are told of them: every kind has a name, nothing is too long or lost."""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.back_pressure import Level
from changeover.domain import event_words
from changeover.domain.audit import AuditEvent
from changeover.domain.decisions import MOST_BYTES, data_of, event_id, is_told, subject_of
from changeover.domain.health import RepairStatus
from changeover.domain.instructions import InstructionKind
from changeover.domain.procedures import StepStatus
from changeover.domain.relays import LONGEST_WAIT, Relay, given_up, may_send, wait_after
from changeover.domain.rollbacks import RollbackStatus
from changeover.domain.rollout import CutoverStatus, StageStatus
from changeover.domain.suites import SuiteVerdict
from changeover.errors import InvalidPlan
from changeover.plan.decisions import KINDS, NOT_TOLD, Kind
from changeover.plan.load import parse_plan
from tests.core.plan.test_load import GOOD, problems

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 29, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LATER = {"cutover.running", "stage.soaking", "stage.waiting", "rollback.running", "suite.running",
         "repair.running"}
"""How something stands while it is not over: no end of it."""
OF_STATUS: dict[str, list[Any]] = {
    "cutover": [*CutoverStatus, *InstructionKind], "stage": [*StageStatus],
    "suite": [*SuiteVerdict],
    "rollback": [*RollbackStatus], "repair": [*RepairStatus], "step": [*StepStatus],
    "back_pressure": [*Level],
}


def event(
    seq: int = 1, kind: str = "stage.promoted", at: datetime = NOW, **data: Any
) -> AuditEvent:
    return AuditEvent("shop", seq, at, "cutover 1", kind, data, "0" * 64, f"{seq:064}")


def audited(source: str) -> set[str]:
    """Return the kinds that a module audits; those made of a status as `cutover.*`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        given_kinds = [each.value for each in node.keywords if each.arg == "kind"]
        if name in ("note_in", "_record", "_note"):
            given_kinds += node.args
        elif name != "NewEvent":
            continue
        for each in given_kinds:
            for part in ast.walk(each):
                if isinstance(part, ast.JoinedStr) and isinstance(part.values[0], ast.Constant):
                    found.add(f"{part.values[0].value}*")
                elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                    found.add(part.value)
    return {kind for kind in found if re.fullmatch(r"[a-z_]+\.([a-z_-]+|\*)", kind)}


def test_every_kind_that_is_audited_is_told_or_says_why_not() -> None:
    """A decision that nobody outside hears of would be missed in silence."""
    found: set[str] = set()
    for folder in ("changeover", "tasks", "flows"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= audited(path.read_text())
    assert len(found) > 30
    known = {*KINDS, *NOT_TOLD}
    for kind in found:
        group = kind.partition(".")[0]
        kinds = {f"{group}.{each}" for each in OF_STATUS[group]} if "*" in kind else {kind}
        assert kinds - LATER <= known, kind
    assert not set(KINDS) & set(NOT_TOLD)


@pytest.mark.parametrize("kind", sorted({*KINDS, *NOT_TOLD}))
def test_every_kind_has_words_for_pages_and_reports(kind: str) -> None:
    """Made of facts that it has: people read no name of a program, and no question mark."""
    facts = dict.fromkeys(KINDS[kind].facts.split(), "x") if kind in KINDS else {}
    assert kind in event_words.TITLES
    title = event_words.words_of(event(kind=kind, **facts), {}).title
    assert kind in NOT_TOLD or "?" not in title


def test_every_kind_is_in_the_page_and_no_other() -> None:
    """docs/events.md says what each of them means, in the same words."""
    page = (ROOT / "docs" / "events.md").read_text()
    rows = {}
    for line in page.splitlines():
        if line.startswith("| `changeover."):
            _, name, means, facts, _ = (cell.strip() for cell in line.split("|"))
            kind = name.strip("`").removeprefix("changeover.")
            rows[kind] = Kind(means, facts.replace("`", "").replace(",", ""))
    assert rows == KINDS


def test_an_event_has_one_id_for_ever_and_no_other_has_it() -> None:
    """Who gets it twice knows it by that."""
    assert event_id(event(1)) == event_id(event(1))
    assert len({event_id(event(seq)) for seq in range(100)}) == 100


@given(st.dictionaries(st.text(max_size=20), st.recursive(
    st.text(max_size=9000) | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=30)))
def test_whatever_the_audit_says_fits_into_an_event(facts: dict[str, Any]) -> None:
    """Receivers refuse what is too long, and one refused event holds up all that follow."""
    data = data_of(event(**{"reason": "errors", **facts}))
    assert len(json.dumps(data).encode()) <= MOST_BYTES
    assert data["kind"] == "stage.promoted"


def test_what_is_too_long_loses_its_evidence_and_keeps_its_reason() -> None:
    """The numbers behind it are in the store."""
    facts = {"reason": "errors 7 %", "evidence": [{"n": "x" * 900} for _ in range(90)]}
    data = data_of(event(kind="trigger.fired", trigger="errors", **facts))
    assert (data["facts"]["reason"], data["is_cut"]) == ("errors 7 %", True)
    assert "evidence" not in data["facts"]
    assert subject_of(event(trigger="errors")) == "trigger errors"


def test_patterns_choose_kinds() -> None:
    """What is about access is for nobody, whatever is wanted."""
    assert is_told(event(kind="rollback.started"), ["stage.*", "rollback.*"])
    assert not is_told(event(kind="flag.changed"), ["stage.*", "rollback.*"])
    assert not is_told(event(kind="approver.code"), ["*"])


@given(st.integers(0, 10_000))
def test_waits_grow_up_to_a_limit(attempts: int) -> None:
    """Not a thousand requests an hour to who is down, nor a day's wait after it is back."""
    assert wait_after(attempts) <= wait_after(attempts + 1) <= LONGEST_WAIT


@given(st.lists(st.integers(0, 5000), max_size=30), st.integers(0, 5000), st.integers(1, 2000))
def test_only_what_is_old_is_given_up_and_always_the_oldest_first(
    ages: list[int], failing: int, limit: int
) -> None:
    """Never anything younger than the limit, and nothing before the receiver failed for so long."""
    waiting = [event(seq, at=NOW - MINUTE * age)
               for seq, age in enumerate(sorted(ages, reverse=True))]
    lost = given_up(waiting, NOW - MINUTE * failing, MINUTE * limit, NOW)
    assert lost == waiting[:len(lost)]
    assert all(NOW - each.at >= MINUTE * limit for each in lost)
    if failing >= limit:
        assert all(NOW - each.at < MINUTE * limit for each in waiting[len(lost):])
    else:
        assert lost == []


def test_one_process_sends_at_a_time_until_its_lease_is_over() -> None:
    """Whoever has it goes on; another one waits for what a killed one left."""
    held = Relay("shop", "prefect", 1, 0, NOW, holder="a", lease_until=NOW + MINUTE)
    assert may_send(held, "a", NOW)
    assert not may_send(held, "b", NOW)
    assert may_send(held, "b", NOW + MINUTE)
    assert not may_send(Relay("shop", "prefect", 1, 1, NOW + MINUTE), "a", NOW)


@pytest.mark.parametrize(("webhook", "said"), [
    ("{url: 'http://a.example/', secret: S, kinds: [stages.*]}", "no kind of event is called"),
    ("{url: 'http://a.example/', secret: whsec_abc}", "secret"),
    ("{url: 'http://a.example/', env: A, secret: S}", "exactly one of `url` and `env`"),
    ("{secret: S}", "exactly one of `url` and `env`"),
    ("{url: 'http://a.example/'}", "secret"),
    ("{url: 'ftp://a.example/', secret: S}", "url"),
    ("{url: 'http://a.example/', secret: S, give_up: 5s}", "give_up"),
])
def test_a_webhook_that_cannot_work_is_refused(webhook: str, said: str) -> None:
    """With where it stands and what is allowed; a secret itself is never in a plan."""
    (problem,) = problems(f"{GOOD}webhooks:\n  audit: {webhook}\n")
    assert "webhooks" in problem and said in problem


def test_a_webhook_needs_an_address_and_a_secret_only() -> None:
    """All kinds, and a day until it is given up."""
    plan = parse_plan(f"{GOOD}webhooks: {{audit: {{env: AUDIT_URL, secret: AUDIT_SECRET}}}}\n", "p")
    spec = plan.webhooks["audit"]
    assert (spec.kinds, spec.give_up) == (["*"], timedelta(days=1))
    with pytest.raises(InvalidPlan):
        parse_plan(f"{GOOD}webhooks: {{Audit: {{env: AUDIT_URL, secret: AUDIT_SECRET}}}}\n", "p")
