"""Recorded requests: HAR and JSON lines in, exchanges out. What is odd is told with its entry."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson

from changeover.errors import InvalidInput
from changeover.shadow.tap import Exchange, Headers

SAFE = ("GET", "HEAD", "OPTIONS")
MOST_BYTES = 1 << 30
_BOM = b"\xef\xbb\xbf"
_METHOD = re.compile(r"[A-Za-z]{1,20}\Z")
_FORM = "application/x-www-form-urlencoded"
_LINE = '{"method": "GET", "path": "/…", "headers": {}, "body": ""}'


def load(file: Path, *, with_unsafe: bool) -> tuple[list[Exchange], int]:
    """Return the recorded requests of a file, and how many were left out as unsafe.

    Args:
        file: HAR 1.2 (a JSON document with `log.entries`), or one JSON object a line.
        with_unsafe: Whether to return POST, PUT, PATCH and DELETE too.

    Raises:
        InvalidInput: The file cannot be read, or an entry is not a request; says which.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InvalidInput("larger than 1 GiB", where=str(file), next_step="Split it")
        content = file.read_bytes().removeprefix(_BOM)
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(file)) from error
    found = [_request(entry, where) for entry, where in _entries(content, str(file), with_unsafe)]
    if not found:
        raise InvalidInput("has no requests", where=str(file))
    kept = [each for each in found if with_unsafe or each.method in SAFE]
    return kept, len(found) - len(kept)


def _entries(content: bytes, name: str, with_unsafe: bool) -> Iterator[tuple[Any, str]]:
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError:
        whole = None
    if isinstance(whole, dict) and "log" in whole:
        entries = whole["log"].get("entries") if isinstance(whole["log"], dict) else None
        if not isinstance(entries, list):
            raise InvalidInput("has no log.entries, as HAR has", where=name)
        for number, entry in enumerate(entries):
            request = entry.get("request") if isinstance(entry, dict) else None
            where = f"{name}: entry {number}"
            yield _of_har(request, where, with_unsafe), where
        return
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                yield orjson.loads(line), f"{name}:{number}"
            except orjson.JSONDecodeError as error:
                raise InvalidInput(f"is neither HAR nor JSON lines: {error}",
                                   where=f"{name}:{number}") from error


def _of_har(request: Any, where: str, with_unsafe: bool) -> dict[str, Any]:
    """Return a HAR request as a line of JSON lines; bodies that nobody will send are left out."""
    if not isinstance(request, dict) or not isinstance(request.get("url"), str):
        raise InvalidInput("has no request with a url", where=where)
    try:
        parts = urlsplit(request["url"])
    except ValueError as error:
        raise InvalidInput(f"url {request['url']!r} is none: {error}", where=where) from error
    headers = request.get("headers") or []
    if not isinstance(headers, list) or not all(
            isinstance(one, dict) and isinstance(one.get("name"), str) and "value" in one
            for one in headers):
        raise InvalidInput("headers are not as HAR has them", where=where,
                           allowed='a list of {"name": "…", "value": "…"}')
    pairs = [[one["name"], one["value"]] for one in headers if one["name"][:1] != ":"]
    method = request.get("method", "GET")
    post = request.get("postData") or {}
    if not isinstance(post, dict):
        raise InvalidInput("postData must be an object", where=where)
    return {
        "method": method,
        "path": (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        **(_har_body(post, pairs, where) if with_unsafe or method in SAFE else {}),
        "headers": pairs,
    }


def _har_body(post: dict[str, Any], headers: list[list[Any]], where: str) -> dict[str, Any]:
    """Return the body's part of a line; a form that is there as parameters is written as one."""
    if post.get("encoding") == "base64":
        return {"base64": post.get("text")}
    params = post.get("params") or []
    if post.get("text") or not params:
        return {"body": post.get("text") or ""}
    kind = str(post.get("mimeType") or _FORM)
    if not kind.startswith(_FORM):
        raise InvalidInput(f"a body of {kind} is there as parameters only", where=where,
                           allowed=f"postData.text, or parameters of {_FORM}")
    if not isinstance(params, list) or not all(
            isinstance(one, dict) and isinstance(one.get("name"), str) for one in params):
        raise InvalidInput("postData.params are not as HAR has them", where=where,
                           allowed='a list of {"name": "…", "value": "…"}')
    if not any(str(name).lower() == "content-type" for name, _ in headers):
        headers.append(["content-type", kind])
    return {"body": urlencode([(one["name"], str(one.get("value", ""))) for one in params])}


def _request(entry: Any, where: str) -> Exchange:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str) \
            or not entry["path"].startswith("/"):
        raise InvalidInput("is not a request", where=where, allowed=_LINE)
    method = entry.get("method") or "GET"
    if not isinstance(method, str) or not _METHOD.match(method):
        raise InvalidInput(f"method {method!r} is none", where=where, allowed="GET, POST, …")
    return Exchange(
        method.upper(), entry["path"], _headers(entry.get("headers") or {}, where),
        _body(entry, where), 0, (), b"", datetime.now(UTC), 0.0,
    )


def _headers(given: Any, where: str) -> Headers:
    """Return headers in lower case, repeated ones too; the host is the system's own."""
    pairs = list(given.items()) if isinstance(given, dict) else given
    if not isinstance(pairs, list) or not all(
            isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
        raise InvalidInput("headers must be an object", where=where,
                           allowed='{"name": "value"}, or a list of ["name", "value"]')
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str | int | float):
            raise InvalidInput(f"header {name!r} must be text", where=where)
    found = [(name.lower(), str(value)) for name, value in pairs if name.lower() != "host"]
    cookies = [value for name, value in found if name == "cookie"]
    if len(cookies) > 1:  # HTTP/2 may send them one by one; HTTP/1.1 has one header for all
        found = [pair for pair in found if pair[0] != "cookie"] + [("cookie", "; ".join(cookies))]
    return tuple(found)


def _body(entry: dict[str, Any], where: str) -> bytes:
    if entry.get("base64"):
        try:
            return base64.b64decode(entry["base64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise InvalidInput(f"base64 is none: {error}", where=where) from error
    body = entry.get("body")
    if isinstance(body, str):
        return body.encode()
    return b"" if body is None else orjson.dumps(body)
