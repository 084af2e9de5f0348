"""Later starts: harm that begins late is found as fast as harm at once. Pure.

Evidence that was gathered over healthy hours speaks against harm and must first be undone. So every
hour a further question begins, about the time since then only. Each has its share of the allowed
false alarms, the first one half of them. (Union bound; compare Shin, Ramdas, Rinaldo 2022.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from changeover.analysis.sequential.buckets import Counts
from changeover.analysis.sequential.slices import Slice

MOST_STARTS = 8
"""Late starts that are asked about: the newest ones."""


def log_bar(number: int, alpha: float) -> float:
    """Return the logarithm that the e-value of a start must reach.

    Args:
        number: 0 for the start of the stage, then 1, 2, …
        alpha: Allowed chance of a false alarm of all starts together.
    """
    weight = 0.5 if number == 0 else 0.5 / (number * (number + 1))
    return -math.log(alpha * weight)


def newest_starts(hours: Sequence[Slice], events: str, of: str) -> list[tuple[int, Counts]]:
    """Return (number, counts since then) of the newest later starts, oldest first.

    Args:
        hours: What was counted in each hour of the stage, oldest first. The first one begins with
            the stage, which is start 0 and not in the answer.
        events: Name of the counter of bad requests.
        of: Name of the counter of all.
    """
    found: list[tuple[int, Counts]] = []
    since = Counts.none()
    for number in range(len(hours) - 1, 0, -1):
        if len(found) == MOST_STARTS:
            break
        since = since + hours[number].counts(events, of)
        found.append((number, since))
    return found[::-1]
