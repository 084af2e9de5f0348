"""Which of the 10,000 buckets a user's key falls into. Pure.

The gateway makes the same choice by itself (`changeover.gateway.envoy`); everything else asks here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import xxhash

from changeover.plan.routing import BUCKETS as BUCKETS
from changeover.plan.routing import HASHED, KeyRule

digest: Callable[..., int] = xxhash.xxh64_intdigest
"""The hash of `bucket`, with seed 0; for those who make the same choice millions of times."""
BLANKS = " \t"
"""What HTTP takes away around a header's value."""
Key = str | bytes | list[str | bytes] | list[str] | list[bytes] | tuple[str | bytes, ...]
"""A user's key: as text, as the header's own bytes, or all values of a header that came more than
once. In a text, bytes that are not UTF-8 stand as halves of surrogate pairs (PEP 383)."""
_NUMBER = re.compile(rb"[0-9]+\Z")


def values_of(key: Key | None) -> tuple[bytes, ...]:
    """Return the header's values as the gateway hashes them; none for a request without a key.

    The blanks around a value are not part of it, and one empty value makes all of them none.

    Raises:
        UnicodeEncodeError: The text has half of a surrogate pair that stands for no byte: no
            request can carry it.
        TypeError: It is neither text nor bytes.
    """
    values = _all_values(key)
    return values if all(values) else ()


def _all_values(key: Key | None) -> tuple[bytes, ...]:
    if key is None:
        return ()
    return tuple(_sent(one) for one in (key if isinstance(key, list | tuple) else (key,)))


def _sent(value: object) -> bytes:
    if isinstance(value, bytes):
        return value.strip(BLANKS.encode())
    if not isinstance(value, str):
        raise TypeError(f"a key is text or bytes, not {type(value).__name__}")
    return value.strip(BLANKS).encode("utf-8", "surrogateescape")


def bucket(key: Key, *, salt: str = "") -> int:
    """Return the bucket 0..9999 of a user's key by its hash: `xxh64(key, seed 0) % 10_000`.

    The same rule as Envoy's header hash policy with weighted clusters, so gateway and code agree.
    Of several values the sorted ones are hashed one after the other, each with the hash before it
    as the seed. A plan with `routing.salt` hashes the salt followed by the first value.

    Raises:
        UnicodeEncodeError: No request can carry the key.
    """
    values = values_of(key)
    # the gateway puts salt and key together in one header, and hashes that
    if salt:
        values = (salt.encode() + b"".join(values[:1]),)
    number = 0
    for value in sorted(values) or [b""]:
        number = digest(value, number)
    return number % BUCKETS


def number_of(key: Key | None, rule: KeyRule = HASHED) -> int | None:
    """Return the bucket of a request by the plan's rule; None where nothing decides about it.

    Such a request is the baseline's: it has no key or, with `routing.key.modulo`, none that ends
    with a number.

    Raises:
        UnicodeEncodeError: No request can carry the key.
    """
    if rule.modulo:
        return _by_number(_all_values(key), rule.modulo)
    return bucket(key or "", salt=rule.salt) if values_of(key) else None


def _by_number(values: tuple[bytes, ...], modulo: int) -> int | None:
    """Return the bucket by the decimal number at the end of the key.

    The gateway looks at each value of a header that came more than once, and one whose rest is low
    enough suffices. Its regular expressions match UTF-8 only.
    """
    rests = []
    for value in values:
        found = _NUMBER.search(value)
        if found and _is_utf8(value):
            rests.append(int(found[0][-len(str(modulo)):]) % modulo)
    # a power of ten, as is 10,000: each rest is a whole number of buckets
    return min(rests) * (BUCKETS // modulo) if rests else None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True
