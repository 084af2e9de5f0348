"""Windows that follow each other, as one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from changeover.analysis.window import Measurements, Sample, Window, combine

_NAMES = [each.name for each in fields(Measurements)]


def combined(windows: Sequence[Window]) -> Window:
    """Return one window of several of the same system that follow each other.

    Args:
        windows: In any order; each counts in full.
    """
    rows = []
    at, seconds = 0, 0.0
    for each in windows:
        length = max(1, round(each.seconds))
        sums = {name: getattr(each, name) for name in _NAMES}
        # one after the other: at the same time, they would count as several gateways'
        rows.append(Sample(
            "", at, length, watched=each.watched, listened=each.listened, **sums))
        at += length
        seconds += each.seconds
    return combine(rows, seconds=seconds)
