"""Tokens of the console and what each may do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

_TEXT = re.compile(r"(ch[ag]_[0-9a-f]{12})_[A-Za-z0-9_-]{43}")


def tokens_in(text: str) -> list[str]:
    """Return what has the form of a token in a text that a person wrote."""
    return [found[0] for found in _TEXT.finditer(text)]


def without_tokens(text: str) -> str:
    """Return a text with the ids of its tokens only: whoever may read it could use them."""
    return _TEXT.sub(r"\1_***", text)


class Scope(StrEnum):
    """What a token may do; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def allows(self, wanted: Scope) -> bool:
        """Whether this scope includes `wanted`."""
        order = list(Scope)
        return order.index(self) >= order.index(wanted)


class TokenState(StrEnum):
    """Whether a token opens anything."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret. It opens the console of its migration alone.

    `id` is empty until it is made.
    """

    migration: str
    name: str
    scope: Scope
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    id: str = ""

    def state(self, now: datetime) -> TokenState:
        """Return whether it opens anything at a time."""
        return state_of(self.revoked_at, self.expires_at, now)


@dataclass(frozen=True, slots=True)
class ApproverToken:
    """A person's token without its secret. It proves in one migration who they are.

    `id` is empty until it is made.
    """

    migration: str
    name: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    id: str = ""

    def state(self, now: datetime) -> TokenState:
        """Return whether it proves anything at a time."""
        return state_of(self.revoked_at, self.expires_at, now)


def state_of(
    revoked_at: datetime | None, expires_at: datetime | None, now: datetime
) -> TokenState:
    """Return whether what was given to somebody is worth anything at a time."""
    if revoked_at is not None:
        return TokenState.REVOKED
    is_over = expires_at is not None and now >= expires_at
    return TokenState.EXPIRED if is_over else TokenState.VALID
