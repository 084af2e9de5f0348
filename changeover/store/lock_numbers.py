"""Numbers of PostgreSQL's advisory locks: it knows no other names for them. Pure."""

from __future__ import annotations

import hashlib


def lock_number(words: str) -> int:
    """Return the number of the lock that words name."""
    return int.from_bytes(hashlib.sha256(words.encode()).digest()[:8], signed=True)
