"""What a client asks about flags: bodies, contexts and queries, read as they were sent.

A key is what the gateway would hash: bytes that are not UTF-8 go on as halves of surrogate pairs
(PEP 383), and a key that no request can carry is refused by name.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import Request
from starlette.types import Receive

from changeover.domain.routing import Key, values_of
from changeover.flags.conditions import TARGETING_KEY
from changeover.flags.explain import attributes
from changeover.sdk.feed import LatestFlags

LARGEST_REQUEST = 65_536
"""Bytes: a context is a handful of attributes; nobody may fill the memory with one."""


class Problem(Exception):
    """A request that gets an error of the protocol."""

    def __init__(self, status: int, code: str, details: str) -> None:
        super().__init__(details)
        self.status, self.code, self.details = status, code, details

    def body(self, key: str | None) -> bytes:
        """Return the protocol's answer."""
        named = {} if key is None else {"key": key}
        error = {"errorCode": self.code, "errorDetails": self.details}
        return orjson.dumps(named | error)


async def read(receive: Receive) -> bytes:
    """Return a request's body.

    Raises:
        Problem: It is larger than allowed, or the client went away.
    """
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "PARSE_ERROR", "the request ended before its body")
        body += message.get("body", b"")
        # while it comes, not at its end: a body without end must not be kept
        if len(body) > LARGEST_REQUEST:
            why = f"the request has more than {LARGEST_REQUEST} bytes"
            raise Problem(413, "INVALID_CONTEXT", why)
        if not message.get("more_body", False):
            return bytes(body)


def parsed(body: bytes, *, allowed: tuple[str, ...] = ("context",)) -> dict[str, Any]:
    """Return a request's object; an empty body is one without anything.

    Raises:
        Problem: It is not JSON, no object, or has fields that nobody knows.
    """
    try:
        request = _loads(body) if body else {}
    except (ValueError, RecursionError) as error:
        why = f"the request is not JSON: {error}"
        raise Problem(400, "PARSE_ERROR", why) from None
    if not isinstance(request, dict):
        why = "the request must be an object with `context`"
        raise Problem(400, "PARSE_ERROR", why)
    unknown = [name for name in request if name not in allowed]
    if unknown:
        first = f"{unknown[0][:100]!r} is unknown"
        why = f"{first}; allowed are {', '.join(allowed)}"
        raise Problem(400, "PARSE_ERROR", why)
    return request


def _loads(body: bytes) -> Any:
    """Return what JSON says, halves of surrogate pairs included, which orjson refuses.

    Python writes bytes of a key that are not UTF-8 so, and the gateway hashes those bytes.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        if b"\\ud" not in body.lower():
            raise
        # this parser would accept NaN and Infinity, which are no JSON
        return json.loads(body.decode(), parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def context_of(request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Return (targeting key, attributes) of a request; a request without has neither.

    Raises:
        Problem: It is not of the protocol's form.
    """
    context = request.get("context")
    if context is None:
        return None, {}
    if not isinstance(context, dict):
        # the text is not repeated: it may be the user's
        raise Problem(400, "INVALID_CONTEXT", "`context` must be an object")
    key = context.get(TARGETING_KEY)
    if key is not None and not isinstance(key, str):
        raise Problem(400, "INVALID_CONTEXT", "`targetingKey` must be text")
    # what no header can carry has no bucket: the gateway could never see it
    try:
        values_of(key)
    except UnicodeEncodeError as error:
        half = "half of a surrogate pair, which no request can carry"
        why = f"`targetingKey` has {half}: {error}"
        raise Problem(400, "INVALID_CONTEXT", why) from None
    return key, context


async def asked(request: Request, latest: LatestFlags) -> tuple[Key, dict[str, Any], str | None]:
    """Return (key, attributes, flag) of a request to explain; a `key` that comes more than once is
    a header that does.

    Raises:
        Problem: Its body is not of the form.
    """
    if request.method == "POST":
        body = parsed(await read(request.receive), allowed=("context", "flag"))
        flag = body.get("flag")
        if flag is not None and not isinstance(flag, str):
            raise Problem(400, "PARSE_ERROR", "`flag` must be text")
        key, context = context_of(body)
        return key or "", context, flag
    # bytes that are no UTF-8 are the gateway's too, and must not become others
    text = request.scope["query_string"].decode("latin-1")
    pairs = parse_qsl(
        text, keep_blank_values=True, errors="surrogateescape")
    # all values of `key`, as the gateway sees a header that comes twice; of others the last one
    keys = [value for name, value in pairs if name == "key"]
    query = dict(pairs)
    query.pop("key", None)
    flag = query.pop("flag", None)
    return keys, attributes(query, latest.evaluator.snapshot), flag
