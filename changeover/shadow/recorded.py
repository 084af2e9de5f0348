"""Recorded requests: HAR and JSON lines in, exchanges out. Errors name the entry."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import orjson

from changeover.errors import InvalidInput
from changeover.shadow.calls import SAFE
from changeover.shadow.tap import Exchange, Headers

MOST_BYTES = 1 << 30
NOT_SAFE = "skipped: not safe"
_BOM = b"\xef\xbb\xbf"
_WORD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
"""A method, or a header's name (RFC 9110, section 5.6.2)."""
_USUAL_METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
_NOT_IN_A_LINE = re.compile(r"[^\x21-\x7e]+")
"""What a request line cannot contain: blanks, controls, non-ASCII characters (RFC 9112, 3.2)."""
_LINE_ENDS = re.compile(r"[\r\n\0]")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORM = "application/x-www-form-urlencoded"
_HAR_LIST = 'a list of {"name": "…", "value": "…"}'
_LINE = '{"method": "GET", "path": "/…", "headers": {}, "body": ""}'


@dataclass(frozen=True, slots=True)
class _Line:
    """One recorded request before it is read, or why it is not replayed."""

    request: dict[str, Any]
    where: str
    skipped: str = ""


def load(
    file: Path, *, with_unsafe: bool, hosts: Sequence[str] = ()
) -> tuple[list[Exchange], Counter[str]]:
    """Return the recorded requests of a file that go to the systems, and how many do not, and why.

    A browser's recording has its requests to every host, with that host's cookies. Only requests to
    the recorded system are replayed: to `hosts`, or else to the host of the first request that was
    not redirected.

    Args:
        file: HAR 1.2 (a JSON document with `log.entries`), or one JSON object a line.
        with_unsafe: Whether to return POST, PUT, PATCH and DELETE too.
        hosts: Hosts of the recorded system, as `shop.example` or `shop.example:8443`.

    Raises:
        InvalidInput: The file cannot be read, an entry is not a request, or none is left; says
            which.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InvalidInput("larger than 1 GiB", where=str(file), next_step="Split it")
        content = file.read_bytes().removeprefix(_BOM)
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        raise InvalidInput(what, where=str(file)) from error
    kept: list[Exchange] = []
    skipped: Counter[str] = Counter()
    # What is left out is counted: a replay of ten of a thousand requests must not look complete.
    for line in _lines(content, str(file), with_unsafe, hosts):
        found = None if line.skipped else _request(line.request, line.where)
        if found is None:
            skipped[line.skipped] += 1
        elif with_unsafe or found.method in SAFE:
            kept.append(found)
        else:
            skipped[NOT_SAFE] += 1
    if not kept and not skipped:
        raise InvalidInput("has no requests", where=str(file))
    return kept, skipped


def _lines(
    content: bytes, name: str, with_unsafe: bool, hosts: Sequence[str]
) -> Iterator[_Line]:
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError:
        whole = None
    if isinstance(whole, dict) and "log" in whole:
        log = whole["log"]
        entries = log.get("entries") if isinstance(log, dict) else None
        if not isinstance(entries, list):
            raise InvalidInput("has no log.entries, as HAR has", where=name)
        yield from _of_har(entries, name, with_unsafe, hosts)
        return
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                yield _Line(orjson.loads(line), f"{name}:{number}")
            except orjson.JSONDecodeError as error:
                what = f"is neither HAR nor JSON lines: {error}"
                raise InvalidInput(what, where=f"{name}:{number}") from error


def _of_har(
    entries: list[Any], name: str, with_unsafe: bool, hosts: Sequence[str]
) -> Iterator[_Line]:
    """Yield the entries of a HAR as lines; those to other hosts with the reason."""
    urls = []
    for number, entry in enumerate(entries):
        urls.append(_url(entry, f"{name}: entry {number}"))
    named = {_host(urlsplit(f"http://{host}")) for host in hosts}
    recorded = named or {_recorded_host(entries, urls)}
    for number, (entry, url) in enumerate(zip(entries, urls, strict=True)):
        where = f"{name}: entry {number}"
        if why := _elsewhere(entry["request"], url, recorded):
            yield _Line({}, where, why)
        else:
            yield _Line(_har_request(entry["request"], url, where, with_unsafe), where)


def _url(entry: Any, where: str) -> SplitResult:
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or not isinstance(request.get("url"), str):
        raise InvalidInput("has no request with a url", where=where)
    try:
        found = urlsplit(request["url"])
        # Only asked for does a port that is no number raise.
        _ = found.port
    except ValueError as error:
        what = f"url {request['url']!r} is not a URL: {error}"
        raise InvalidInput(what, where=where) from error
    return found


def _host(url: SplitResult) -> str:
    """Return a URL's host, with its port when that is not the usual one of its scheme."""
    port = url.port
    is_usual = port is None or port == _DEFAULT_PORTS.get(url.scheme)
    # `shop.example.` with a dot is the same host in DNS.
    host = (url.hostname or "").rstrip(".")
    return host if is_usual else f"{host}:{port}"


def _recorded_host(entries: list[Any], urls: list[SplitResult]) -> str:
    """Return the recorded host: that of the first request that was not redirected."""
    first = None
    for entry, url in zip(entries, urls, strict=True):
        # A browser records addresses that are not of the web (`data:`) as well.
        if url.scheme not in _DEFAULT_PORTS:
            continue
        if not 300 <= _status(entry) < 400:
            return _host(url)
        first = first or url
    return _host(first or urlsplit(""))


def _status(entry: dict[str, Any]) -> int:
    response = entry.get("response")
    status = response.get("status") if isinstance(response, dict) else None
    return status if isinstance(status, int) else 0


def _elsewhere(request: dict[str, Any], url: SplitResult, recorded: set[str]) -> str:
    """Return why an entry is not replayed; empty when it is."""
    if url.scheme in ("ws", "wss") or _is_upgrade(request.get("headers")):
        return "skipped: websocket"
    if url.scheme not in _DEFAULT_PORTS:
        return f"skipped: {url.scheme[:20] or 'no'} address, not of HTTP"
    return "" if _host(url) in recorded else "skipped: another host"


def _is_upgrade(headers: Any) -> bool:
    """Whether a request opens a websocket: HAR lists it with an http address."""
    for one in headers if isinstance(headers, list) else []:
        if isinstance(one, dict):
            name, value = str(one.get("name")).lower(), str(one.get("value")).lower()
            if name == "upgrade" and value == "websocket":
                return True
    return False


def _are_named(given: Any) -> bool:
    """Whether something is a list of objects with a name, as HAR has headers and parameters."""
    if not isinstance(given, list):
        return False
    return all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in given)


def _har_request(
    request: dict[str, Any], url: SplitResult, where: str, with_unsafe: bool
) -> dict[str, Any]:
    """Return a HAR request as a line of JSON lines, without a body that is not sent."""
    headers = request.get("headers") or []
    if not _are_named(headers) or not all("value" in one for one in headers):
        raise InvalidInput(
            "headers are not as HAR has them", where=where, allowed=_HAR_LIST)
    # HTTP/2's pseudo headers (`:path`) say again what the method and the URL say.
    pairs = [[one["name"], one["value"]] for one in headers if one["name"][:1] != ":"]
    # Recordings of HTTP/2 have no such header; the first one counts.
    pairs.append(["host", _host(url)])
    method = request.get("method", "GET")
    post = request.get("postData") or {}
    if not isinstance(post, dict):
        raise InvalidInput("postData must be an object", where=where)
    return {
        "method": method,
        "path": _target(request["url"], url),
        **(_har_body(post, pairs, where) if with_unsafe or method in SAFE else {}),
        "headers": pairs,
    }


def _target(text: str, url: SplitResult) -> str:
    """Return a URL's path and query; an empty query stays."""
    has_query = "?" in text.partition("#")[0]
    return (url.path or "/") + (f"?{url.query}" if has_query else "")


def _har_body(post: dict[str, Any], headers: list[list[Any]], where: str) -> dict[str, Any]:
    """Return the body's part of a line; a form's parameters are encoded."""
    if post.get("encoding") == "base64":
        return {"base64": post.get("text")}
    params = post.get("params") or []
    if post.get("text") or not params:
        return {"body": post.get("text") or ""}
    kind = str(post.get("mimeType") or _FORM)
    if not kind.startswith(_FORM):
        raise InvalidInput(f"a body of {kind} is recorded as parameters only", where=where,
                           allowed=f"postData.text, or parameters of {_FORM}")
    if not _are_named(params):
        raise InvalidInput(
            "postData.params are not as HAR has them", where=where, allowed=_HAR_LIST)
    if not any(str(name).lower() == "content-type" for name, _ in headers):
        headers.append(["content-type", kind])
    fields = [(one["name"], str(one.get("value", ""))) for one in params]
    return {"body": urlencode(fields)}


def _request(entry: Any, where: str) -> Exchange:
    path = entry.get("path") if isinstance(entry, dict) else None
    if not isinstance(path, str) or not path.startswith("/"):
        raise InvalidInput("is not a request", where=where, allowed=_LINE)
    method = entry.get("method") or "GET"
    if not isinstance(method, str) or not _WORD.match(method):
        raise InvalidInput(
            f"method {method!r} is not a method", where=where, allowed="GET, POST, …")
    target = _NOT_IN_A_LINE.sub(lambda found: quote(found[0], safe=""), path)
    # Methods tell cases apart (RFC 9110, section 9.1), but nobody means another one by `get`.
    usual = method.upper() if method.upper() in _USUAL_METHODS else method
    headers = _headers(entry.get("headers") or {}, where)
    # The host is the system's own; the recorded one says of which route the request is.
    host = next((value for name, value in headers if name == "host"), "")
    return Exchange(
        usual, target, tuple(pair for pair in headers if pair[0] != "host"),
        _body(entry, where), 0, (), b"", datetime.now(UTC), 0.0, recorded_host=host,
    )


def _headers(given: Any, where: str) -> Headers:
    """Return headers in lower case, repeated ones too."""
    pairs = list(given.items()) if isinstance(given, dict) else given
    if not isinstance(pairs, list) or not all(map(_is_pair, pairs)):
        raise InvalidInput("headers must be an object", where=where,
                           allowed='{"name": "value"}, or a list of ["name", "value"]')
    for name, value in pairs:
        if not isinstance(name, str) or not isinstance(value, str | int | float):
            raise InvalidInput(f"header {name!r} must be text", where=where)
        if not _WORD.match(name) or _LINE_ENDS.search(str(value)):
            raise InvalidInput(f"header {name[:60]!r} is not a header: a name is one ASCII word, "
                               "and a value has no line end", where=where)
    found = [(name.lower(), str(value)) for name, value in pairs]
    cookies = [value for name, value in found if name == "cookie"]
    # HTTP/2 may send them one by one; HTTP/1.1 has one header for all.
    if len(cookies) > 1:
        found = [pair for pair in found if pair[0] != "cookie"]
        found.append(("cookie", "; ".join(cookies)))
    return tuple(found)


def _is_pair(given: Any) -> bool:
    return isinstance(given, list | tuple) and len(given) == 2


def _body(entry: dict[str, Any], where: str) -> bytes:
    if entry.get("base64"):
        try:
            return base64.b64decode(entry["base64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            what = f"base64 cannot be decoded: {error}"
            raise InvalidInput(what, where=where) from error
    body = entry.get("body")
    if isinstance(body, str):
        return body.encode()
    return b"" if body is None else orjson.dumps(body)
