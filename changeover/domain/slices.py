"""Slices of time with the sums of each bucket, as the store has them: packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PackedSlice:
    """Sums of one gateway's requests under one split, in compressed form.

    Args:
        gateway: Name of the gateway.
        weight: Buckets of the candidate, 0..10_000; 0 while everyone is on the baseline.
        start: Unix second of its start.
        end: Unix second of its last request, plus one.
        sums: What `changeover.analysis.sequential.slices.pack` made of the sums.
        excluded: Requests of the same time that are in no sum, by reason.
    """

    gateway: str
    weight: int
    start: int
    end: int
    sums: bytes
    excluded: Mapping[str, int]


OF_SUBSET = " of "
"""What stands before the subset of requests in the condition of a bound."""


@dataclass(frozen=True, slots=True)
class SlowBound:
    """From which duration on a request is slow, frozen before the stages that are judged by it.

    If all durations of the candidate grow by what a check allows, both systems have the same share
    of slow requests. So any bound is fair; the baseline's own quantile is the one that tells most.

    Args:
        condition: What the check asks, as `latency_p95 ratio_to_baseline 1.1`; of a
            subset of requests `latency_p95 ratio_to_baseline 1.1 of segment:beta`.
        baseline_us: Microseconds above which a request of the baseline is slow.
        candidate_us: Microseconds above which a request of the candidate is slow: with the margin.
    """

    condition: str
    baseline_us: int
    candidate_us: int

    @property
    def subset(self) -> str | None:
        """The subset of requests that it is about; None: all of them."""
        return self.condition.partition(OF_SUBSET)[2] or None

    @property
    def events(self) -> str:
        """Name of the counter of slow requests."""
        return f"{self._prefix}slow {self.baseline_us}/{self.candidate_us}"

    @property
    def of(self) -> str:
        """Name of the counter of requests while the bound was known."""
        return f"{self._prefix}timed {self.baseline_us}/{self.candidate_us}"

    @property
    def _prefix(self) -> str:
        return f"{self.subset} " if self.subset else ""


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Up to where a gateway's access log is in the store's slices."""

    inode: int
    offset: int
