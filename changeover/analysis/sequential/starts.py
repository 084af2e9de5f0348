"""Later starts: harm that begins late is found nearly as fast as harm at once. Pure.

Evidence that was gathered over healthy hours speaks against harm and must first be undone. So each
part of a stage (`parts`) begins a further question, about the time since then only. Each question
has its share of the allowed false alarms, the stage's own one half of them. (Union bound; compare
Shin, Ramdas, Rinaldo 2022.)

Most of these questions have a plain answer. Only those are weighed for which a rough sum speaks:
the likelihood ratio of all bad requests, or of buckets with any, added up by system. Of means,
those are weighed that began one part ago, two, four, eight and so on. Weighing fewer questions than
are allowed can only make false alarms rarer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from changeover.analysis.sequential.buckets import Reals, add, share_at
from changeover.analysis.sequential.evidence import ERROR_RATIOS, SLOW_RATIOS, Question
from changeover.analysis.sequential.expected import Expected, with_history
from changeover.analysis.sequential.parts import HOUR, MINUTE
from changeover.analysis.sequential.slices import Slice
from changeover.analysis.sequential.stage_sums import StageSums

MINUTES = 59
"""Starts in an hour of the clock, without its first minute."""
WHOLE_HOURS = 0.25
"""What the first minutes of hours have of the later starts' share: jobs begin then."""
IN_TIME = 0.9
"""What the starts within the hours that a stage may take have of it; the rest is for later ones."""
MOST_HOURS = 4096
"""Hours (170 days) beyond these. What begins still later has no question of its own."""
_ALL_HOURS = math.fsum(1 / number for number in range(1, MOST_HOURS + 1))
MOST_OF_EACH = 2
"""Starts that are weighed for each of the two rough sums."""
PROMISING = 0.5
"""The part of its bar that a rough sum must reach: it is often below the evidence itself."""


def log_bar(alpha: float) -> float:
    """Return the logarithm that the e-value of the stage's own start must reach.

    Args:
        alpha: Allowed chance of a false alarm of all starts together.
    """
    return math.log(2 / alpha)


def log_bar_later(alpha: float, hour: int, hours: int, *, is_whole_hour: bool) -> float:
    """Return the logarithm that the e-value of a later start must reach.

    Args:
        alpha: Allowed chance of a false alarm of all starts together.
        hour: Hours of the clock from the one in which the stage began, 0, to that of the start.
        hours: Hours of the clock that the stage may take; the same all the time.
        is_whole_hour: Whether it is the first minute of that hour.
    """
    # whole hours and minutes have shares of their own, so neither costs the other
    share = WHOLE_HOURS if is_whole_hour else (1 - WHOLE_HOURS) / MINUTES
    if hour < hours:
        share *= IN_TIME / hours
    elif hour < hours + MOST_HOURS:
        share *= (1 - IN_TIME) / _ALL_HOURS / (hour - hours + 1)
    else:
        return math.inf
    return math.log(2 / alpha / share)


@dataclass(frozen=True, slots=True)
class Start:
    """A later start that is worth weighing.

    Args:
        after: Seconds from the stage's start to it.
        question: What is asked since then.
        usual: What is expected of each bucket, where that is known before.
        log_bar: Logarithm that its e-value must reach.
    """

    after: int
    question: Question
    usual: Expected | None
    log_bar: float


def promising_starts(
    question: Question, sums: StageSums, counters: tuple[str, str],
) -> list[Start]:
    """Return the later starts that may show harm, oldest first; mostly none.

    Args:
        question: The stage's.
        sums: What was counted.
        counters: Names of the counters of bad requests, and of all.
    """
    parts, began = sums.parts, int(sums.start.timestamp())
    is_mean = question.values is not None
    usual = None if is_mean else sums.memo.usual(sums.past, *counters)
    chosen = _doubling(len(parts)) if is_mean else _promising(question, sums, counters)
    found = []
    for index in chosen:
        counts = add(each.counts(*counters) for each in parts[index:])
        foreseen = usual and with_history(
            question.past, usual, question.counts - counts, question.split.is_candidate)
        after = max(1, parts[index].start - began)
        found.append(Start(
            after, replace(question, counts=counts), foreseen, _bar_of(parts[index], sums)))
    return found


def _doubling(parts: int) -> list[int]:
    """Return the parts that begin one part before the end, two, four and so on, oldest first."""
    found = []
    ago = 1
    while ago < parts:
        found.append(parts - ago)
        ago *= 2
    return found[::-1]


def _promising(
    question: Question, sums: StageSums, counters: tuple[str, str],
) -> list[int]:
    """Return the parts for which a rough sum speaks, oldest first."""
    parts = sums.parts
    if len(parts) < 2:
        return []
    # sums of each part once; those since each start by adding up from the end
    rows = np.array([sums.memo.row(each, sums.past, counters) for each in parts])
    since = rows[::-1].cumsum(axis=0)[::-1]
    bars = np.array([_bar_of(each, sums) for each in parts])
    chosen: set[int] = set()
    for rough in _rough(question, since):
        # The first part begins with the stage: it is the stage's own question.
        room = rough[1:] - PROMISING * bars[1:]
        # stable, so that a recomputed verdict weighs the same starts
        best = np.argsort(-room, kind="stable")[:MOST_OF_EACH]
        chosen.update(int(index) + 1 for index in best if room[index] >= 0)
    return sorted(chosen)


def _bar_of(part: Slice, sums: StageSums) -> float:
    hour = part.start // HOUR - int(sums.start.timestamp()) // HOUR
    return log_bar_later(
        sums.alpha, max(0, hour), sums.hours, is_whole_hour=part.start % HOUR < MINUTE)


def _rough(question: Question, since: Reals) -> list[Reals]:
    """Return the logarithms of rough likelihood ratios since each part, shape (n_parts,) each."""
    own, all_, own_expected, expected, own_hit, hit = since.T
    margin = question.margin
    # the newest part may have begun a moment ago
    with np.errstate(invalid="ignore"):  # a part without any request
        share = np.nan_to_num(own_expected / expected, nan=question.split.share)
    if question.is_slow:
        return [_likeliest(own, all_, share, SLOW_RATIOS)]
    allowed = share_at(share, margin)
    by_split = share_at(question.split.share, margin)
    return [_likeliest(own, all_, allowed, ERROR_RATIOS),
            _likeliest(own_hit, hit, np.full_like(share, by_split), ERROR_RATIOS)]


def _likeliest(own: Reals, both: Reals, share: Reals, ratios: Sequence[float]) -> Reals:
    """Return the highest log likelihood ratio over the ratios that harm may have."""
    found = [own * math.log(ratio) - both * np.log1p(share * (ratio - 1)) for ratio in ratios]
    highest: Reals = np.max(found, axis=0)
    return highest
