"""Whose request it is: a user's key, found in the places that the plan names. Pure.

The gateway's own script (`gateway.envoy.key_script`) follows the same rules, step by step, so that
applications, `explain` and the gateway find the same key in the same request.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

from changeover.domain.buckets import BLANKS, values_of
from changeover.plan.routing import KeySpec

Values = Callable[[str], Sequence[bytes]]
"""Returns every value of a header, in the order in which they came."""
LONGEST_TOKEN = 16_384
"""Bytes of a token's payload that is looked into."""
_BLANKS = BLANKS.encode()
_BEARER = re.compile(rb"bearer +[^. ]*\.([A-Za-z0-9_-]+)\.[^. ]*", re.IGNORECASE)
_WHOLE = re.compile(rb"-?([0-9]+)")
_MOST_DIGITS = 30


def key_of(sources: Sequence[KeySpec], values: Values, path: bytes) -> tuple[bytes, ...]:
    """Return the values of the first place that has a key, or an empty tuple.

    Args:
        sources: The places in order, as `RoutingSpec.sources`.
        values: Returns the values of a header, named in lower case.
        path: The request's path with its query, as it was sent.
    """
    for source in sources:
        if found := values_of(tuple(_values(source, values, path))):
            return found
    return ()


def _values(source: KeySpec, values: Values, path: bytes) -> Sequence[bytes]:
    if source.header is not None:
        return values(source.header)
    if source.cookie is not None:
        found = cookie(values("cookie"), source.cookie.encode())
    elif source.query is not None:
        found = parameter(path, source.query.encode())
    else:
        tokens = values("authorization")
        found = claim(tokens[0], (source.bearer_claim or "").encode()) if tokens else b""
    return (found,)


def cookie(headers: Sequence[bytes], name: bytes) -> bytes:
    """Return the first cookie of a name, without quotation marks around it; empty without one."""
    for header in headers:
        for part in header.split(b";"):
            known, is_pair, value = part.partition(b"=")
            if is_pair and known.strip(_BLANKS) == name:
                value = value.strip(_BLANKS)
                is_quoted = len(value) >= 2 and value[:1] == value[-1:] == b'"'
                return value[1:-1] if is_quoted else value
    return b""


def parameter(path: bytes, name: bytes) -> bytes:
    """Return the first parameter of a name in an address, decoded; empty without one."""
    query = path.partition(b"?")[2].partition(b"#")[0]
    for pair in query.split(b"&"):
        known, _, value = pair.partition(b"=")
        if _decoded(known) == name:
            return _decoded(value)
    return b""


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def claim(authorization: bytes, name: bytes) -> bytes:
    """Return a claim of a bearer token that nobody verified; empty without one.

    Only a text without escapes, or a whole number, at the top of the token counts.
    """
    found = _BEARER.fullmatch(authorization.strip(_BLANKS))
    if found is None or len(found[1]) > LONGEST_TOKEN:
        return b""
    try:
        payload = base64.urlsafe_b64decode(found[1] + b"=" * (-len(found[1]) % 4))
    except (binascii.Error, ValueError):
        return b""
    return _member(payload, name)


def _member(text: bytes, name: bytes) -> bytes:
    """Return the first member of a name in a JSON object, by going through it once.

    The gateway's script reads a token in just this way; a parser would judge odd ones differently.
    """
    depth, at, last = 0, 0, None
    while at < len(text):
        sign = text[at:at + 1]
        if sign == b'"':
            end = _end_of_text(text, at + 1)
            last, at = text[at + 1:end], end + 1
            continue
        if sign in (b"{", b"["):
            depth += 1
        elif sign in (b"}", b"]"):
            depth -= 1
        elif sign == b":" and depth == 1 and last == name:
            return _value(text, at + 1)
        at += 1
    return b""


def _value(text: bytes, at: int) -> bytes:
    while text[at:at + 1] in (b" ", b"\t", b"\n", b"\r"):
        at += 1
    if text[at:at + 1] == b'"':
        value = text[at + 1:_end_of_text(text, at + 1)]
        return b"" if b"\\" in value else value
    number = _WHOLE.match(text, at)
    if number is None or len(number[1]) > _MOST_DIGITS:
        return b""
    # 1.5 and 1e3 are no names of users
    return b"" if text[number.end():number.end() + 1] in (b".", b"e", b"E") else number[0]


def _end_of_text(text: bytes, at: int) -> int:
    """Return the place of the quotation mark that ends a text, or the end of everything."""
    while at < len(text) and text[at:at + 1] != b'"':
        at += 2 if text[at:at + 1] == b"\\" else 1
    return min(at, len(text))
