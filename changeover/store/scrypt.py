"""Salted hashes of secrets (scrypt): what the store keeps instead of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets

_SALT = 16
_COST = {"n": 1 << 14, "r": 8, "p": 1}  # 16 MiB and some 40 ms for each guess


def hashed(secret: str) -> str:
    """Return a hash that differs each time, with its salt."""
    salt = secrets.token_bytes(_SALT)
    return f"{_text(salt)}${_text(_digest(secret, salt))}"


def is_same(secret: str, known: str) -> bool:
    """Whether a hash is of this secret; the time that it takes tells nothing."""
    salt, _, digest = known.partition("$")
    found = _digest(secret, base64.b64decode(salt))
    return hmac.compare_digest(_text(found), digest)


def _digest(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode(), salt=salt, dklen=32, **_COST)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
