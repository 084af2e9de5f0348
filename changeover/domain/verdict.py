"""Verdicts and their order: the worst one wins, by this one function. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """What a check or a gate found."""

    PASS = "pass"  # noqa: S105  a verdict, not a password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"  # too little data to say; never a pass


_BADNESS = {Verdict.PASS: 0, Verdict.INCONCLUSIVE: 1, Verdict.FAIL: 2}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict; nothing judged is inconclusive."""
    return max(verdicts, key=_BADNESS.__getitem__, default=Verdict.INCONCLUSIVE)
