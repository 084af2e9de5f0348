"""Events of the audit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One link of the hash chain. `seq` counts from 1 without gaps within a migration."""

    migration: str
    seq: int
    at: datetime
    actor: str
    kind: str
    data: dict[str, Any]
    previous_hash: str
    hash: str
