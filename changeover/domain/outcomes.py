"""Outcomes that applications report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class Reported(Protocol):
    """An outcome in any form: this module's own, or the one that came over HTTP."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def system(self) -> str: ...  # noqa: D102
    @property
    def is_success(self) -> bool: ...  # noqa: D102
    @property
    def seconds(self) -> float | None: ...  # noqa: D102
    @property
    def quality(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def segments(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def key(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one piece of work.

    Args:
        id: The reporter's own; the same one again is the same outcome.
        system: `baseline` or `candidate`.
        is_success: Whether it went well.
        seconds: How long it took; None when that was not measured.
        quality: Named numbers, as `confidence`.
        segments: The segments that its user belongs to.
        key: The user's key, which gives the bucket and is kept nowhere; empty when not told.
    """

    id: str
    system: str
    is_success: bool
    seconds: float | None = None
    quality: Mapping[str, float] = field(default_factory=dict)
    segments: tuple[str, ...] = ()
    key: str = field(default="", repr=False)
