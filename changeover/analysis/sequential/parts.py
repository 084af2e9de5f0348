"""Parts of a stage: its newest hour by the minute, what came before by the hour. Pure.

Evidence may begin with any part, so that harm that comes late is asked about from the minute on in
which it began. Older minutes are not needed for that, and a long stage stays cheap to weigh.
"""

from __future__ import annotations

from collections.abc import Iterable

from changeover.analysis.sequential.slices import Slice, merged

MINUTE, HOUR = 60, 3600
RECENT = 3600
"""Seconds before the end that are kept by the minute."""


def recent_from(end: int) -> int:
    """Return the Unix second from which on slices are kept by the minute.

    Args:
        end: Unix second up to which the stage is looked at.
    """
    return (end - RECENT) // MINUTE * MINUTE


def part_of(start: int, recent: int) -> int:
    """Return the second at which the part begins that a slice belongs to, by the clock.

    Args:
        start: When the slice began, Unix seconds.
        recent: What `recent_from` returned.
    """
    length = MINUTE if start >= recent else HOUR
    return start // length * length


def into_parts(slices: Iterable[Slice], end: int) -> list[Slice]:
    """Return slices of one split as parts, oldest first.

    Args:
        slices: In any order, of any gateways.
        end: Unix second up to which the stage is looked at.
    """
    recent = recent_from(end)
    found: dict[int, list[Slice]] = {}
    for each in slices:
        found.setdefault(part_of(each.start, recent), []).append(each)
    parts = []
    for key in sorted(found):
        several = found[key]
        # a single slice stays the same object, for what is known of it already
        parts.append(several[0] if len(several) == 1 else merged(several))
    return parts
