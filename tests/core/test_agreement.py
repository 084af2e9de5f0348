"""Where a system and the claims disagree about an item, one sentence says how."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from changeover.domain.agreement import Believed, disagreements
from changeover.domain.claims import Claim, Status

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
GRACE = timedelta(minutes=1)


def _claim(status: Status, system: str, age_seconds: float, lease_seconds: float = 30) -> Claim:
    claimed = NOW - timedelta(seconds=age_seconds)
    return Claim("i", status, system, "h", 1, claimed, claimed + timedelta(seconds=lease_seconds))


@pytest.mark.parametrize(("status", "claim", "said"), [
    ("done", _claim(Status.DONE, "candidate", 90), ""),
    ("working", _claim(Status.HELD, "candidate", 90, 600), ""),
    ("done", _claim(Status.HELD, "candidate", 90, 600), ""),
    ("failed", _claim(Status.DONE, "baseline", 90), ""),
    ("working", _claim(Status.DONE, "baseline", 90), ""),
    ("done", _claim(Status.HELD, "candidate", 30), ""),
    ("done", _claim(Status.DONE, "baseline", 90),
     "i: done by the baseline, and the candidate says that it did it, too"),
    ("done", _claim(Status.HELD, "candidate", 90),
     "i: the candidate says done, and its claim was never completed"),
    ("done", _claim(Status.FREE, "candidate", 90),
     "i: the candidate says done, and its claim was never completed"),
    ("working", _claim(Status.DONE, "candidate", 90),
     "i: completed by the candidate, which says that it still works on it"),
    ("done", None, "i: the candidate says done, and nobody has ever claimed it"),
    ("unknown", None, ""),
])
def test_each_disagreement_has_its_sentence(status: str, claim: Claim | None, said: str) -> None:
    """Done by both, never completed, completed and still worked on, without any claim."""
    claims = {} if claim is None else {"i": claim}
    found = disagreements([Believed("candidate", "i", status)], claims, now=NOW, grace=GRACE)
    assert found == ([said] if said else [])
