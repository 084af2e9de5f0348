"""Steps of procedures around a cutover."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class SopStep:
    """A step of a procedure and what came of it: `done` or `failed`; `begun` is not known yet."""

    migration: str
    subject: str
    step: str
    status: str
    detail: str
    started_at: datetime
    ended_at: datetime
    data: dict[str, Any] = field(default_factory=dict)
