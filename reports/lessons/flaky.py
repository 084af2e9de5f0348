"""Checks whose verdict changed its mind. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from changeover.domain.verdict import Verdict
from changeover.plan.conditions import OnFail
from reports import text
from reports.lessons.model import Flaky
from reports.model import StageView

FEWEST_LOST = 2
"""One pass that became inconclusive is a window that has moved; two are a check that drifts."""


def flips(verdicts: Sequence[str]) -> int:
    """Return how often verdicts went from pass to fail or back, others left out."""
    decided = [each for each in verdicts if each in (Verdict.PASS, Verdict.FAIL)]
    pairs = pairwise(decided)
    return sum(first != second for first, second in pairs)


def lost(verdicts: Sequence[str]) -> int:
    """Return how often a pass became inconclusive."""
    pairs = pairwise(verdicts)
    return sum(
        first == Verdict.PASS and second == Verdict.INCONCLUSIVE for first, second in pairs)


def is_flaky(verdicts: Sequence[str]) -> bool:
    """Whether a check changed its mind: from pass to fail or back, or lost its pass repeatedly.

    From inconclusive to pass or fail is how evidence grows, and no change of mind.
    """
    return flips(verdicts) > 0 or lost(verdicts) >= FEWEST_LOST


def flaky_checks(stages: Iterable[StageView]) -> tuple[Flaky, ...]:
    """Return every check that changed its mind within a stage, those that did most first."""
    found = []
    for stage in stages:
        series: dict[tuple[str, str], list[str]] = defaultdict(list)
        for evaluation in stage.evaluations:
            for check in evaluation.evidence:
                # what is only shown decides nothing, whatever it thinks
                if check.get("on_fail") != OnFail.SHOW:
                    key = evaluation.gate, check_name(check)
                    series[key].append(str(check.get("verdict", "")))
        for (gate, name), verdicts in series.items():
            if is_flaky(verdicts):
                found.append(Flaky(
                    stage.title, gate, name, flips(verdicts), lost(verdicts), tuple(verdicts)))
    return tuple(sorted(found, key=lambda each: (-each.flips, -each.lost)))


def check_name(check: Mapping[str, Any]) -> str:
    """Return a check in words: what is measured of which system, and the bound."""
    metric = text.metric_words(check.get("metric", "?"))
    return f"{metric} of {check.get('of', '?')} {check.get('bound', '')}".strip()
