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


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Up to where a gateway's access log is in the store's slices."""

    inode: int
    offset: int
