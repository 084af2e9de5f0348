"""Later starts: harm that begins late is found as fast as harm at once. Pure.

Evidence that was gathered over healthy hours speaks against harm and must first be undone. So every
hour a further question begins, about the time since then only. Each has its share of the allowed
false alarms, the first one half of them. (Union bound; compare Shin, Ramdas, Rinaldo 2022.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from changeover.analysis.sequential.buckets import Counts

EVERY_SECONDS = 3600
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


def since_starts(sums: Sequence[tuple[float, Counts]], end: float) -> list[tuple[int, Counts]]:
    """Return (number, counts since then) of the stage's start and of the newest later starts.

    Args:
        sums: (seconds since the start of the stage, sums up to then) at each whole hour, and at
            the end: cumulative, oldest first.
        end: Seconds since the start of the stage at which `sums` end.
    """
    total = sums[-1][1]
    found = [(0, total)]
    for number, (at, counts) in enumerate(sums[:-1], start=1):
        if at < end:
            found.append((number, total - counts))
    return [found[0], *found[1:][-MOST_STARTS:]]
