"""Messages to people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Message:
    """A message and how far its sending has come.

    `problem` is why the last attempt failed, `told` are the channels that have it.
    """

    id: int
    migration: str
    key: str
    severity: str
    title: str
    body: str
    at: datetime
    is_sent: bool
    attempts: int
    next_at: datetime
    problem: str
    told: tuple[str, ...]
