"""Events of the audit, and who is responsible for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and why.

    Args:
        actor: Who or what decided: `observer`, `cutover 7`, a person's name.
        reason: Why, one sentence.
    """

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something that happened and is to be audited.

    Args:
        actor: Who or what acted.
        kind: What happened, as `stage.entered`.
        data: Facts that JSON can hold.
        at: When.
        once_key: An event with the same key is recorded once per migration; empty: every time.
    """

    actor: str
    kind: str
    data: dict[str, Any]
    at: datetime
    once_key: str = ""


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
