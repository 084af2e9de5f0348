"""Guardrails of a plan with routes, from lines of the gateway's log to what they say."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from changeover.analysis import guardrails
from changeover.analysis.check import CheckResult
from changeover.analysis.guardrails import Evidence
from changeover.analysis.trigger import Firing
from changeover.analysis.window import Met, Sample, Window, combine, of_subset
from changeover.domain.routing import System
from changeover.domain.verdict import Verdict
from changeover.gateway.accesslog import Entry
from changeover.observer.accumulate import Accumulator
from changeover.observer.watch import Watch
from changeover.plan.guardrails import Guardrail
from changeover.plan.model import Plan
from changeover.plan.subsets import REST, subset_of_route, subsets_read

BEGIN = 1_700_006_400
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
OLD, NEW, BETA = subset_of_route("old"), subset_of_route("new"), "segment:beta"
USERS = [f"user {number}" for number in range(60)]
SYSTEM = {"name": "x", "url": "http://127.0.0.1:1"}
PLAN = Plan.model_validate({
    "migration": "watched", "systems": {"baseline": SYSTEM, "candidate": SYSTEM},
    "routes": [{"name": "old", "path": {"prefix": "/old"}},
               {"name": "new", "path": {"prefix": "/new"}}],
    "phases": [{"phase": "gradual", "stages": [{"percent": 10, "soak": 0}]}]})


def asked(
    system: System, at: int, statuses: Iterable[int], *, part: str = REST,
    users: list[str] | None = None, size: int = 900,
) -> list[Entry]:
    """Return requests of one second, each of the next user, that a system answered."""
    keys = USERS if users is None else users
    return [Entry(at + 0.5, 1500, status, frozenset(), "split:1000:safe",
                  keys[number % len(keys)] if keys else None, system, 1, chosen=system,
                  body_bytes=size, subsets=frozenset({part, BETA}))
            for number, status in enumerate(statuses)]


def measured(entries: list[Entry], *, subsets: Iterable[str] | None = None) -> list[Sample]:
    """Return the samples that the observer makes of these lines."""
    names = [*subsets_read(PLAN), BETA] if subsets is None else subsets
    accumulator = Accumulator(first=BEGIN, subsets=names)
    for each in entries:
        accumulator.add(each)
    return accumulator.pop_changed(max(int(each.end) for each in entries) + 1)


def window(rows: list[Sample], system: System, part: str | None = REST) -> Window:
    """Return what was measured of a part."""
    found = [of_subset(row, part) for row in rows if row.system == system]
    return combine(found, seconds=60)


def judged(name: Guardrail, own: Window, baseline: Window) -> CheckResult:
    """Return a guardrail's verdict at the gate of a stage that moves 10 % of what has no route."""
    evidence = Evidence(
        own=own, baseline=baseline, before=baseline, share=0.1, regressions=None, groups=None,
        accepted=frozenset(), start=MOMENT, end=MOMENT, parts=(REST,))
    (found,) = guardrails.judge_guardrails([name], evidence)
    return found


def test_users_of_parts_are_remembered_and_those_of_segments_are_not() -> None:
    """Guardrails compare parts; rows do not grow by what nobody reads."""
    rows = measured(asked(System.CANDIDATE, BEGIN, [200, 404, 503]))
    assert {kind: len(users) for kind, users in window(rows, System.CANDIDATE).users.items()} == {
        Met.ANSWER: 3, Met.CLIENT_ERROR: 1, Met.ERROR: 1}
    assert window(rows, System.CANDIDATE, BETA).users == {}
    assert window(rows, System.CANDIDATE, BETA).requests == 3


@pytest.mark.parametrize(("status", "said"), [(404, Verdict.FAIL), (200, Verdict.PASS)])
def test_a_candidate_that_answers_404_to_many_users_is_seen_at_the_gate(
    status: int, said: Verdict
) -> None:
    """To 40 % of them: far less than 50 points, which are for users without keys."""
    rows = measured([
        *asked(System.CANDIDATE, BEGIN, [status] * 16 + [200] * 24, users=USERS[:40]),
        *asked(System.BASELINE, BEGIN, [200] * 360)])
    found = judged(Guardrail.CLIENT_ERRORS, window(rows, System.CANDIDATE),
                   window(rows, System.BASELINE))
    assert found.verdict is said
    assert found.parts == (REST,)
    assert "compared: requests of no route" in found.reason
    assert found.as_evidence()["parts"] == [REST]


def test_short_answers_of_a_few_users_say_nothing() -> None:
    """Of users whose numbers are known fifty are needed, as without routes."""
    rows = measured([
        *asked(System.CANDIDATE, BEGIN, [200] * 60, users=USERS[:3], size=9),
        *asked(System.BASELINE, BEGIN, [200] * 60)])
    few = judged(Guardrail.SHORT_ANSWERS, window(rows, System.CANDIDATE),
                 window(rows, System.BASELINE))
    assert few.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("users", [USERS, []], ids=["with keys", "without keys"])
def test_parts_that_were_counted_without_their_users_are_no_users_without_keys(
    users: list[str]
) -> None:
    """Rows of an earlier version say nothing of users, and 60 points are no alarm then."""
    rows = measured([*asked(System.CANDIDATE, BEGIN, [404] * 60 + [200] * 40, users=users),
                     *asked(System.BASELINE, BEGIN, [200] * 300, users=users)])
    own, baseline = (replace(window(rows, system), users={})
                     for system in (System.CANDIDATE, System.BASELINE))
    said = Verdict.INCONCLUSIVE if users else Verdict.FAIL
    assert judged(Guardrail.CLIENT_ERRORS, own, baseline).verdict is said


def fired(watching: Watch, rows: list[Sample]) -> list[Firing]:
    """Step through the seconds of some samples and return what fired."""
    found = []
    for at in sorted({row.at for row in rows}):
        watching.feed(row for row in rows if row.at == at)
        found += [firing for _, firing in watching.step(at)]
    return found


def test_one_robot_rolls_nobody_back() -> None:
    """It sends nearly all requests of a quiet time; three users suffice."""
    for users, fires in ((["robot"], False), (USERS[:3], True)):
        rows = measured([each for at in range(BEGIN, BEGIN + 20) for each in (
            *asked(System.CANDIDATE, at, [404] * 10, users=users),
            *asked(System.BASELINE, at, [200] * 10))])
        found = fired(Watch(PLAN), rows)
        assert [each.trigger for each in found] == ["guardrail client_errors"] * fires
        assert [each.evidence["parts"] for each in found] == [[REST]] * fires
        assert all("compared: requests of no route" in each.reason for each in found)


def test_one_robot_rolls_nobody_back_by_seconds_of_an_earlier_version() -> None:
    """They have the users of the whole second only, so these count."""
    rows = measured([each for at in range(BEGIN, BEGIN + 20) for each in (
        *asked(System.CANDIDATE, at, [404] * 10, users=["robot"]),
        *asked(System.BASELINE, at, [200] * 10))])
    before = [replace(row, subsets={name: replace(each, users={})
                                    for name, each in row.subsets.items()}) for row in rows]
    assert fired(Watch(PLAN), before) == []


@pytest.mark.parametrize(("baselines", "fires"), [(503, False), (200, True)],
                         ids=["both fail", "the candidate fails"])
@pytest.mark.parametrize("parts", [[REST], [REST, OLD, NEW]], ids=["one part", "three parts"])
def test_what_both_systems_fail_rolls_nobody_back(
    parts: list[str], baselines: int, fires: bool
) -> None:
    """A thousand good seconds do not outweigh that the baseline fails now, too."""
    entries = []
    for at in range(BEGIN, BEGIN + 1030):
        is_over = at >= BEGIN + 1000
        for part in parts:
            # of a single part the baseline answers too few in a short time
            number = 12 // len(parts)
            entries += asked(System.CANDIDATE, at, [503 if is_over else 200] * number, part=part)
            entries += asked(System.BASELINE, at, [baselines if is_over else 200] * number,
                             part=part)
    assert bool(fired(Watch(PLAN), measured(entries))) is fires


def test_requests_that_cannot_be_compared_leave_enough_of_the_others() -> None:
    """Most requests are of a route that the baseline never served: older ones are looked at."""
    entries = []
    for at in range(BEGIN, BEGIN + 40):
        entries += asked(System.BASELINE, at, [200] * 10)
        entries += asked(System.CANDIDATE, at, [404] * 30, part=NEW)
        entries += asked(System.CANDIDATE, at, [404], users=USERS[at % 9:])
    (found,) = fired(Watch(PLAN), measured(entries))
    assert found.evidence["parts"] == [REST]


def test_what_an_earlier_version_measured_of_the_baseline_counts() -> None:
    """It counted routes only; the rest is what is in none of them."""
    before = measured([*asked(System.BASELINE, BEGIN, [200] * 40),
                       *asked(System.BASELINE, BEGIN, [302] * 40, part=OLD)], subsets=[OLD])
    watching = Watch(PLAN)
    watching.know_baseline(window(before, System.BASELINE, None))
    rows = measured([each for at in range(BEGIN, BEGIN + 20) for each in (
        *asked(System.CANDIDATE, at, [302] * 10),
        *asked(System.CANDIDATE, at, [302], part=OLD))])
    assert [each.trigger for each in fired(watching, rows)] == ["guardrail redirects"]


def test_guardrails_that_know_nothing_say_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows how the baseline answers what the candidate is asked."""
    rows = measured([each for at in range(BEGIN, BEGIN + 20)
                     for each in asked(System.CANDIDATE, at, [404] * 10)])
    with caplog.at_level(logging.WARNING):
        assert fired(Watch(PLAN), rows) == []
    said = [each.getMessage() for each in caplog.records]
    assert len([each for each in said if str(Guardrail.CLIENT_ERRORS) in each]) == 1
    assert "nobody knows how the baseline answers" in said[0]
