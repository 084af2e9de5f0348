"""Comparisons of both systems' answers, and the places at which they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

FURTHER = "(further places)"
"""Stands for all places beyond those that are counted separately."""
LONGEST_PLACE = 500
"""Characters of a place that are shown; longer ones are still distinguished by their hash."""


@dataclass(frozen=True, slots=True)
class Example:
    """A divergence as it was seen: in which request, where, both values cut."""

    request: str
    path: str
    kind: str
    baseline: str | None
    candidate: str | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison on its way into the store.

    `found` maps each place that differs to an example; `ignored` are places that rules hide.
    `noisy` are the places at which the baseline's second answer differed; None when it was not
    asked twice. `answers` has both, masked, or None when they are not kept. `omitted` counts
    divergences that were too many to be listed: any place may be among them.
    """

    at: datetime
    request: str
    request_id: str
    similarity: float
    is_match: bool
    baseline_seconds: float
    candidate_seconds: float
    found: Mapping[str, Example] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    noisy: frozenset[str] | None = None
    error: str = ""
    answers: bytes | None = None
    omitted: int = 0


@dataclass(frozen=True, slots=True)
class Rescored:
    """A kept comparison (`key` is its id): what was counted of it, and what counts from now on."""

    key: int
    before: Compared
    after: Compared


@dataclass(frozen=True, slots=True)
class Place:
    """How often the answers differ at one place (`field`, a normalised path)."""

    field: str
    diverged: int
    ignored: int
    only_candidate: int
    only_baseline: int
    both: int
    counts: dict[str, int]
    examples: list[dict[str, Any]]
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class PlaceCount:
    """Comparisons, and how many of them differ at a place."""

    compared: int = 0
    diverged: int = 0
