"""Slices of time with their sums by bucket: what evidence is added up from. Pure.

A slice has the requests of one split only: when the percentage changes, another slice begins. So
sums of different splits can never be mixed (Simpson's paradox). Nothing in it names a user.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import zstandard

from changeover.analysis.sequential.buckets import Counts, Numbers
from changeover.domain.routing import BUCKETS


class Counter(StrEnum):
    """What is counted of each bucket."""

    REQUESTS = "requests"
    ERRORS = "errors"
    SERVER_ERRORS = "server_errors"
    USER_ERRORS = "user_errors"
    CLIENT_ERRORS = "client_errors"
    REDIRECTS = "redirects"
    ANSWERS = "answers"
    EMPTY_ANSWERS = "empty_answers"


class Told(StrEnum):
    """What is counted of each bucket by the outcomes that applications report."""

    OUTCOMES = "outcomes"
    FAILED = "failed outcomes"


class Excluded(StrEnum):
    """Why a request is in no comparison: who went where was not left to the split."""

    NO_KEY = "no key"
    NOT_BY_SPLIT = "moved by a segment or by hand"
    WITHHELD = "withheld from the candidate by back-pressure"
    UNCLEAR_KEY = "another bucket than its key says"


OF_OUTCOMES = "outcomes: "
"""What stands before the reason why an outcome is in no comparison."""
REPORTED_TO = ":outcomes"
"""In the place of a gateway's name: slices of outcomes, which every console adds to."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Sums of one gateway's requests under one split.

    Args:
        weight: Buckets of the candidate; 0 while everyone is on the baseline.
        start: Unix second from which on requests are in it.
        end: Unix second of the last request, plus one.
        sums: By name of a counter, its number in each bucket, shape (10_000,).
        excluded: Requests of the same time that are in no sum, by reason.
        gateway: Name of the gateway.
    """

    weight: int
    start: int
    end: int
    sums: Mapping[str, Numbers]
    excluded: Mapping[str, int] = field(default_factory=dict)
    gateway: str = "main"

    def counts(self, events: str, of: str = Counter.REQUESTS) -> Counts:
        """Return the counts of one question.

        Args:
            events: Name of the counter of bad ones.
            of: Name of the counter of all.
        """
        return Counts(self._sum(of), self._sum(events))

    def _sum(self, name: str) -> Numbers:
        found = self.sums.get(name)
        return np.zeros(BUCKETS, np.int64) if found is None else found


def merged(slices: Iterable[Slice]) -> Slice:
    """Return slices of one split as one; the same in any order.

    Raises:
        ValueError: There is none, or they are of different splits.
    """
    found = list(slices)
    weights = {each.weight for each in found}
    if len(weights) != 1:
        raise ValueError(f"slices of the splits {sorted(weights)} cannot be added")
    sums: dict[str, Numbers] = {}
    excluded: dict[str, int] = {}
    for each in found:
        for name, numbers in each.sums.items():
            sums[name] = sums[name] + numbers if name in sums else numbers
        for reason, number in each.excluded.items():
            excluded[reason] = excluded.get(reason, 0) + number
    return Slice(
        weights.pop(), min(each.start for each in found), max(each.end for each in found),
        sums, excluded, found[0].gateway)


def pack(sums: Mapping[str, Numbers]) -> bytes:
    """Return sums as compressed bytes: a line of JSON, then byte by byte of all buckets.

    Equal bytes of all buckets stand together, since most are small and many the same.
    """
    planes: dict[str, int] = {}
    content: list[bytes] = []
    for name in sorted(sums):
        rest = sums[name].astype(np.uint64)
        planes[name] = 0
        while rest.any():
            content.append((rest & np.uint64(0xFF)).astype(np.uint8).tobytes())
            rest = rest >> np.uint64(8)
            planes[name] += 1
    return zstandard.compress(json.dumps(planes).encode() + b"\n" + b"".join(content), 9)


def unpack(content: bytes) -> dict[str, Numbers]:
    """Return what `pack` packed.

    Raises:
        ValueError: It is not of `pack`.
    """
    try:
        head, _, body = zstandard.decompress(content).partition(b"\n")
    except zstandard.ZstdError as error:
        raise ValueError(f"sums that cannot be unpacked: {error}") from error
    sums: dict[str, Numbers] = {}
    for name, planes in json.loads(head).items():
        total = np.zeros(BUCKETS, np.int64)
        for number in range(planes):
            plane = np.frombuffer(body[:BUCKETS], np.uint8).astype(np.int64)
            total += plane << (8 * number)
            body = body[BUCKETS:]
        sums[name] = total
    return sums
