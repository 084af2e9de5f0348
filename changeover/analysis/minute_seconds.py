"""Which seconds of which gateway are in a minute's sum, and what becomes of one that comes. Pure.

Of each gateway a mask of sixty bits, the first second the lowest. A second counts once: its bit is
set with it, and one whose bit is set already is added no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from enum import Enum

from changeover.analysis.window import Measurements, Sample, Window, combine

MINUTE = 60
NODES = "all nodes"
"""In the place of a gateway's name: the sum over all but the main one. No node may be named so."""
UNKNOWN = -1
"""The mask of a minute that a version without masks summed up. All of its bits are set: rather is a
late second left out than one counted twice."""
_SUMS = tuple(each.name for each in fields(Measurements) if each.name != "cpu_cores")


class Step(Enum):
    """What becomes of a gateway's seconds that are stored, and of its minute."""

    NOTHING = "nothing"  # all of them are in
    ANEW = "anew"  # the minute is the sum of what is stored
    ADD = "add"  # those whose bit is not set are added


def mask_of(seconds: Iterable[int]) -> int:
    """Return the mask of Unix seconds, all of one minute."""
    found = 0
    for at in seconds:
        found |= 1 << at % MINUTE
    return found


def is_in(mask: int, at: int) -> bool:
    """Whether a Unix second is in a mask."""
    return bool(mask >> at % MINUTE & 1)


def step(known: int, present: int, *, may_have_changed: bool) -> Step:
    """Return what is to be done with a gateway's minute.

    Args:
        known: The mask of what is in it.
        present: The mask of the seconds that are stored.
        may_have_changed: Seconds that are in may say something else by now: their gateway sent
            them again.
    """
    is_news = bool(present & ~known)
    if not (is_news or may_have_changed):
        return Step.NOTHING
    # made anew of a rest it would lose what is stored no more
    if not known & ~present:
        return Step.ANEW
    return Step.ADD if is_news else Step.NOTHING


def without_mask(minute: Sample | None, present: int) -> int:
    """Return the mask of a minute that has none yet.

    Args:
        minute: What is stored of the gateway, None for nothing.
        present: The mask of its seconds that are stored.
    """
    if minute is None:
        return 0
    watched = MINUTE if minute.watched is None else minute.watched
    # as many seconds are there as it was made of: it may be made anew
    return 0 if 0 < watched <= present.bit_count() else UNKNOWN


def added(minute: Sample, known: int, seconds: Sequence[Sample]) -> Sample:
    """Return a gateway's minute with more of its seconds: none of them is in it.

    Args:
        minute: The sum of seconds that may be stored no more.
        known: The mask of those.
        seconds: At least one.
    """
    total, more = combine([minute, *seconds], seconds=MINUTE), combine(seconds, seconds=MINUTE)
    watched = MINUTE if minute.watched is None else minute.watched
    sums = {name: getattr(total, name) for name in _SUMS}
    return replace(
        minute, watched=watched + more.watched, listened=(minute.listened or 0) + more.listened,
        cpu_cores=_mean_cores(minute, known, more, len(seconds)), **sums)


def added_to_nodes(minute: Sample, masks: Mapping[str, int], seconds: Sequence[Sample]) -> Sample:
    """Return the sum over all nodes with more seconds of some of them.

    Args:
        minute: The sum.
        masks: By node what is in it, with these seconds.
        seconds: None of them was in it.
    """
    found = added(minute, _union(masks), seconds)
    return watched_by(replace(found, watched=minute.watched, listened=minute.listened), masks)


def watched_by(minute: Sample, masks: Mapping[str, int]) -> Sample:
    """Return a sum over nodes that was watched in each second in which one of them watched.

    A node sends the seconds that it watched, and no others.
    """
    watched = MINUTE if minute.watched is None else minute.watched
    return replace(minute, watched=max(watched, _union(masks).bit_count()))


def _union(masks: Mapping[str, int]) -> int:
    """Return the seconds that are in of any gateway, as far as they are known."""
    found = 0
    for mask in masks.values():
        found |= 0 if mask == UNKNOWN else mask
    return found


def _mean_cores(minute: Sample, known: int, more: Window, number: int) -> float | None:
    if minute.cpu_cores is None or more.cpu_cores is None:
        return more.cpu_cores if minute.cpu_cores is None else minute.cpu_cores
    before = MINUTE if known == UNKNOWN else known.bit_count()
    used = minute.cpu_cores * before + more.cpu_cores * number
    return used / (before + number)


def document(masks: Mapping[str, int]) -> dict[str, list[str]]:
    """Return masks as JSON has them: by mask its gateways, since most have the same."""
    found: dict[str, list[str]] = {}
    for gateway, mask in sorted(masks.items()):
        found.setdefault(f"{mask:x}", []).append(gateway)
    return found


def opened(masks: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Return what `document` has, by gateway."""
    return {gateway: int(mask, 16) for mask, gateways in masks.items() for gateway in gateways}
