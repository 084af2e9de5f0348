"""Sums of each bucket, and the split that says which buckets are the candidate's. Pure.

The bucket is what the gateway splits by, so it is the unit of every comparison: its requests may
depend on each other as much as they like. Which of the buckets are the candidate's does not depend
on what their users are like.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from changeover.domain.routing import BUCKETS

Numbers = NDArray[np.int64]
Reals = NDArray[np.float64]
Share = TypeVar("Share", float, Reals)


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened in each bucket.

    Args:
        requests: Requests of each bucket, shape (10_000,).
        events: Those of them that are bad (failed, slow), shape (10_000,).
    """

    requests: Numbers
    events: Numbers

    @classmethod
    def none(cls) -> Counts:
        """Return counts of nothing."""
        return cls(np.zeros(BUCKETS, np.int64), np.zeros(BUCKETS, np.int64))

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.requests + other.requests, self.events + other.events)

    def __sub__(self, other: Counts) -> Counts:
        return Counts(self.requests - other.requests, self.events - other.events)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        is_same = np.array_equal(self.requests, other.requests)
        return is_same and np.array_equal(self.events, other.events)

    __hash__ = None  # type: ignore[assignment]


def add(parts: Iterable[Counts]) -> Counts:
    """Return the sum of counts; the same in any order."""
    total = Counts.none()
    for part in parts:
        total = total + part
    return total


@dataclass(frozen=True, slots=True)
class Split:
    """Which buckets the candidate answers: those below `weight`.

    Args:
        weight: Buckets of the candidate, 1..9_999. At 0 and 10_000 nothing can be compared.

    Raises:
        ValueError: All buckets are on one side.
    """

    weight: int

    def __post_init__(self) -> None:
        if not 0 < self.weight < BUCKETS:
            raise ValueError(f"weight {self.weight} leaves nothing to compare; allowed is "
                             f"1 to {BUCKETS - 1}")

    @property
    def share(self) -> float:
        """The candidate's share of the buckets, 0..1."""
        return self.weight / BUCKETS

    @property
    def is_candidate(self) -> NDArray[np.bool_]:
        """Whether each bucket is the candidate's, shape (10_000,)."""
        return _below(self.weight)


def share_at(share: Share, margin: float) -> Share:
    """Return the candidate's share of bad requests where its rate is `margin` times the baseline's.

    Args:
        share: Its share where both rates are the same, 0..1.
        margin: At least 1.
    """
    return share * margin / (share * margin + 1 - share)


@lru_cache(maxsize=16)
def _below(weight: int) -> NDArray[np.bool_]:
    chosen = np.arange(BUCKETS) < weight
    chosen.flags.writeable = False  # everyone gets the same one
    return chosen


@dataclass(frozen=True, slots=True)
class Arm:
    """The sums of one system: requests, bad ones, and how many buckets had any of each."""

    requests: int
    events: int
    buckets: int
    bad_buckets: int

    @property
    def share(self) -> float | None:
        """The share of bad requests, 0..1; None without requests."""
        return self.events / self.requests if self.requests else None

    def document(self) -> dict[str, Any]:
        """Return it for the evidence of a verdict."""
        return {"requests": self.requests, "events": self.events, "buckets": self.buckets,
                "bad_buckets": self.bad_buckets, "share": self.share}


def arms(counts: Counts, is_candidate: NDArray[np.bool_]) -> tuple[Arm, Arm]:
    """Return the sums of the candidate's and of the baseline's buckets."""
    return _arm(counts, is_candidate), _arm(counts, ~is_candidate)


def _arm(counts: Counts, chosen: NDArray[np.bool_]) -> Arm:
    requests, events = counts.requests[chosen], counts.events[chosen]
    return Arm(int(requests.sum()), int(events.sum()), int(np.count_nonzero(requests)),
               int(np.count_nonzero(events)))
