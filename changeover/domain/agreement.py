"""Whether the two systems and the claims agree about each item: who did it, and whether. Pure.

Claims say who may act. What a system believes of an item is its own: after a crash, a wrong retry
or a mistake in its code it may believe something else, and then work is lost or done twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from changeover.domain.claims import Claim, Status

DONE = "done"
WORKING = "working"


@dataclass(frozen=True, slots=True)
class Believed:
    """What a system says of an item: `done`, `working`, or anything else, which is not compared."""

    system: str
    item: str
    status: str


def disagreements(
    believed: Iterable[Believed], claims: Mapping[str, Claim], *, now: datetime, grace: timedelta
) -> list[str]:
    """Return a sentence for each item about which a system and the claims disagree.

    Args:
        believed: What both systems say.
        claims: The newest claim of each item.
        now: The time.
        grace: Items that were claimed so short a time ago are left out: they are being worked on.
    """
    found = []
    for one in believed:
        claim = claims.get(one.item)
        if claim is None:
            if one.status in (DONE, WORKING):
                found.append(f"{one.item}: the {one.system} says {one.status}, and nobody has ever "
                             "claimed it")
        elif now - claim.claimed_at >= grace and (problem := _problem(one, claim, now)):
            found.append(f"{one.item}: {problem}")
    return found


def _problem(one: Believed, claim: Claim, now: datetime) -> str:
    """Return what is wrong with an item that was claimed a while ago; '' for nothing."""
    is_own = claim.system == one.system
    if one.status == DONE and claim.status is Status.DONE and not is_own:
        return f"done by the {claim.system}, and the {one.system} says that it did it, too"
    if one.status == DONE and claim.status is not Status.DONE and not claim.is_running(now):
        return f"the {one.system} says done, and its claim was never completed"
    if one.status == WORKING and claim.status is Status.DONE and is_own:
        return f"completed by the {one.system}, which says that it still works on it"
    return ""
