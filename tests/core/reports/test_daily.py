"""The daily summary: what is worth telling, how urgent it is, and what its message says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from changeover.domain.health import HealthResult, Status
from changeover.domain.messages import Severity
from changeover.domain.rollout import CutoverStatus
from reports import page as pages
from reports import timeline
from reports.daily import rules
from reports.daily.model import DailySummary, HealthOfDay, StageNow, Waiting
from reports.daily.page import MOST_SAID, message
from reports.daily.page import page as page_of
from reports.headline import Story, headline
from tests.core.reports.hand_made import (
    AT,
    NAMES,
    NASTY,
    TITLES,
    after,
    cutover,
    event,
    figures,
    firing,
    stage,
)

WELL = HealthOfDay("gateway", "healthy", "fine", "healthy", 1440, 0)


def day(**changes: Any) -> DailySummary:
    """Return a quiet day."""
    running = cutover(CutoverStatus.RUNNING)
    story = Story(running, (stage(),), [], [], NAMES, "gradual 5 %", after(60))
    both = (figures("baseline"), figures())
    return replace(DailySummary(
        migration="documents", day="2026-03-02", generated_at=after(60), changeover_version="0.1",
        systems=NAMES, start=AT, end=after(60), headline=headline(story), routing="gradual 5 %",
        progress=StageNow(1, 2, "beta 5 %", "gradual 50 % follows", after(90)), changes=(),
        more_changes=3, waiting=(), figures=both, figures_before=both, health=(WELL,), firings=(),
        triggers=(), new_differences=(), regressions=0, compared=(100, 98)), **changes)


def moment(kind: str, **data: Any) -> Any:
    """Return one line of the timeline."""
    (found,) = timeline.moments([event(kind, 1, **data)], TITLES, start=AT, end=after(60))
    return found


@pytest.mark.parametrize(("kind", "data", "is_told"), [
    ("stage.promoted", {"stage": "beta-5"}, True),
    ("gate.judged", {"stage": "beta-5", "gate": "slo", "verdict": "pass"}, False),
    ("gate.judged", {"stage": "beta-5", "gate": "slo", "verdict": "fail"}, True),
    ("step.done", {"step": "backup"}, False),
    ("step.done", {"step": "backup", "problem": "slow"}, True),
    ("kind.of_next_year", {}, True),
])
def test_routine_is_counted_and_all_else_is_told(
    kind: str, data: dict[str, Any], is_told: bool
) -> None:
    """What happens by itself is one number, unless something is wrong about it."""
    told, others = rules.worth_telling([moment(kind, **data)])
    assert (len(told), others) == ((1, 0) if is_told else (0, 1))


def test_health_of_a_day_knows_what_was_mended_meanwhile() -> None:
    """A check that is well now and was critical for a while says so; the worst now comes first."""
    def result(check: str, minute: int, status: Status) -> HealthResult:
        return HealthResult("documents", AT + timedelta(minutes=minute), check, status, "x")

    found = [result("store", 1, Status.HEALTHY), result("store", 2, Status.CRITICAL),
             result("store", 3, Status.HEALTHY), result("gateway", 3, Status.WARNING)]
    latest = [found[2], found[3]]
    first, second = rules.health_of_day(latest, found)
    assert (first.check, first.status, first.not_good) == ("gateway", "warning", 0)
    assert (second.status, second.worst, second.not_good, second.checked) == (
        "healthy", "critical", 1, 3)


WAITING = Waiting("beta 5 % waits for approval 1", AT, 7200.0, "ana, bo", ("ana",))


@pytest.mark.parametrize("changes", [
    {"waiting": (WAITING,)},
    {"health": (replace(WELL, status="critical"),)},
    {"firings": (firing(),)},
    {"changes": (moment("rollback.started", reason="x"),)},
], ids=lambda changes: next(iter(changes)))
def test_day_that_needs_somebody_is_a_warning(changes: dict[str, Any]) -> None:
    """A target that wants warnings only hears of such days, and of no other."""
    assert rules.severity(day(**changes)) is Severity.WARNING
    assert rules.severity(day()) is Severity.INFO


def test_message_says_what_waits_for_whom_and_since_when() -> None:
    """Read on a telephone: the title says how many, the body who and how long, and where more is.
    """
    title, body = message(day(waiting=(WAITING,)), url="http://reports/day.html")
    assert title == "documents, 2026-03-02: Running: 1 thing waiting for people"
    assert "waits for approval 1, for 2 h; who may answer: ana, bo; agreed: ana" in body
    assert "Next: gradual 50 % follows at 2026-03-02 09:01:30 UTC, if its gates pass." in body
    assert body.endswith("The report: http://reports/day.html")


def test_quiet_day_says_that_nothing_needs_anybody() -> None:
    """No news is said in so many words."""
    title, body = message(day())
    assert title.endswith("Running, nothing needs you")
    assert "Waits" not in body
    assert "Health: every check is good." in body


def test_long_lists_are_cut_in_the_message_only() -> None:
    """Eight lines of a kind, the newest, and how many more there are."""
    many = tuple(moment("stage.held", stage="beta-5", reason=f"no {n}") for n in range(12))
    _, body = message(day(changes=many))
    assert body.count("beta 5 % held") == MOST_SAID
    assert "and 4 more in the report" in body


def test_what_people_wrote_is_text_in_both_forms() -> None:
    """No tag and no table of theirs counts, wherever they wrote it."""
    from reports.render import render_page

    nasty = day(waiting=(replace(WAITING, what=NASTY, may=NASTY),),
                health=(replace(WELL, detail=NASTY),), routing=NASTY)
    shown = page_of(nasty)
    assert "<script>" not in render_page(shown)
    assert "<script>" not in pages.as_markdown(shown)
