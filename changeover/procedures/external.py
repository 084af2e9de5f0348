"""Getting what checks on external metrics are judged by: asked now, or known from before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from changeover.analysis.check import CheckResult
from changeover.analysis.external import Readings, judge_external
from changeover.domain.readings import Question, Reading
from changeover.plan.conditions import CheckSpec
from changeover.site.site import Site
from changeover.sources.ask import ask_all

Window = tuple[datetime, datetime]


class ReadSources(Protocol):
    """How a question gets its reading."""

    def __call__(self, questions: Sequence[Question]) -> dict[Question, Reading]:
        """Return a reading for each question."""
        ...


def ask_now(site: Site, questions: Sequence[Question]) -> dict[Question, Reading]:
    """Ask the sources of a migration's plan now, all at once."""
    return ask_all(site.plan, site.folder, questions)


def judge_externals(
    checks: Sequence[CheckSpec], windows: Sequence[Window], read: ReadSources, *, since: datetime
) -> dict[int, CheckResult]:
    """Return the results of the checks on external metrics, by their place in the gate.

    Args:
        checks: All checks of a gate.
        windows: Start and end of each check's window.
        read: Asks the sources; every question of the gate at once.
        since: When the stage began; a value of before says nothing about it.
    """
    asked: dict[int, list[Question]] = {}
    for index, check in enumerate(checks):
        if check.is_external:
            asked[index] = _questions(check, windows[index])
    # at once, so that a source that is down costs its time once for the whole gate
    found = read([question for each in asked.values() for question in each])
    results = {}
    for index, questions in asked.items():
        # a value of before the stage says nothing of it
        own, *other = [found[question].after(since) for question in questions]
        start, end = windows[index]
        results[index] = judge_external(
            checks[index], Readings(own, other[0] if other else None, start, end))
    return results


def _questions(check: CheckSpec, window: Window) -> list[Question]:
    """Return what is asked for a check: of its system, then of the baseline where it compares."""
    start, end = window
    seconds = max(1, int((end - start).total_seconds()))
    systems = [check.of, *(["baseline"] if check.is_to_baseline else [])]
    return [Question(check.metric, system, check.segment, seconds) for system in systems]
