"""Bytes into values that can be compared, by content type. Pure.

JSON is read by orjson, except where 19 or more digits stand in a row: orjson makes a float of an
integer beyond 64 bits, and two different numbers would become one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs
from xml.parsers import expat

import orjson

_ALL_DIGITS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
_BLANKS = re.compile(r"\s+")
MOST_FORM_FIELDS = 10_000
_MARKUP = ("text/html", "application/xhtml+xml", "text/xml", "application/xml")
Json = Any


class Unparsable(ValueError):
    """A body is not what its content type says."""


def parse_json(body: bytes) -> Json:
    """Return a JSON document; of a duplicate key the last value counts (RFC 8259, section 4).

    Raises:
        Unparsable: Not JSON. NaN and Infinity are not JSON either.
    """
    try:
        if not _has_long_number(body):
            return orjson.loads(body)
        found = json.loads(body, parse_constant=_refuse_constant)
        if b"\\ud" in body.lower():  # half of a surrogate pair is no text; orjson refuses it, too
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except (ValueError, RecursionError) as error:
        raise Unparsable(f"not JSON: {error}") from error


def _has_long_number(body: bytes) -> bool:
    """Whether 19 digits stand in a row: then three of every sixth character are digits, too."""
    return (b"000" in body[::6].translate(_ALL_DIGITS_ZERO)
            and _LONG_NUMBER in body.translate(_ALL_DIGITS_ZERO))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def parse_body(body: bytes, content_type: str) -> Json:
    """Return a body as a value that `compare` takes, by its content type.

    1. JSON (`application/json`, `*+json`): the document.
    2. HTML and XML: the texts and attributes of each kind of place, `{"html/body/p": ["…"]}`.
    3. Forms: `{field: [values]}`. 4. Event streams: a list of events; when they came is ignored.
    5. Other text: the string. 6. Everything else: size and sha256.

    Raises:
        Unparsable: The body is not what its content type says.
    """
    if content_type == "application/json":  # most are, and half a microsecond counts
        return parse_json(body)
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return parse_json(body)
    if kind in _MARKUP or kind.endswith("+xml"):
        return _parse_markup(body, kind, _charset(parameters))
    if kind == "application/x-www-form-urlencoded":
        return _parse_form(_decode(body, "utf-8"))
    if kind == "text/event-stream":
        return parse_events(_decode(body, "utf-8"))
    if kind.startswith("text/"):
        return _decode(body, _charset(parameters))
    return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def _charset(parameters: str) -> str:
    found = re.search(r"charset\s*=\s*\"?([\w.:-]+)", parameters, re.IGNORECASE)
    return found.group(1) if found else "utf-8"


def _decode(body: bytes, charset: str) -> str:
    try:
        text = body.decode(charset)
        if not text.isascii():
            text.encode()  # UTF-7 can hold halves of surrogate pairs, which are no text
    except (LookupError, ValueError) as error:
        raise Unparsable(f"not text in {charset}: {error}") from error
    return text


def _parse_form(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FORM_FIELDS)
    except ValueError as error:
        raise Unparsable(f"not a form of at most {MOST_FORM_FIELDS} fields: {error}") from error


def parse_events(text: str) -> list[dict[str, Json]]:
    """Return the events of a stream; data that is JSON as its document.

    Source: WHATWG HTML, section 9.2.6 (interpreting an event stream).
    """
    events: list[dict[str, Json]] = []
    fields: dict[str, list[str]] = {}
    for line in [*re.split(r"\r\n|\n|\r", text.removeprefix("\ufeff")), ""]:
        if line:
            name, _, value = line.partition(":")
            if name in ("data", "event", "id"):
                fields.setdefault(name, []).append(value.removeprefix(" "))
        elif fields:
            if "data" in fields:
                events.append(_event(fields))
            fields = {}
    return events


def _event(fields: dict[str, list[str]]) -> dict[str, Json]:
    data = "\n".join(fields["data"])
    event: dict[str, Json] = {"event": fields.get("event", ["message"])[-1], "data": data}
    if "id" in fields:
        event["id"] = fields["id"][-1]
    if data[:1] in "{[":
        try:
            event["data"] = parse_json(data.encode())
        except Unparsable:
            event["data"] = data
    return event


def _parse_markup(body: bytes, kind: str, charset: str) -> dict[str, list[str]]:
    places = _Places()
    if kind == "text/html":
        reader = _HtmlReader(places)
        try:
            reader.feed(_decode(body, charset))
        except AssertionError as error:  # what the parser says to `<![x[`; it quotes the page
            raise Unparsable("not HTML: a declaration is broken") from error
        reader.close()
        return places.found
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, values: places.open(name, values.items())
    parser.EndElementHandler = lambda name: places.close(name)
    parser.CharacterDataHandler = places.text
    parser.buffer_text = True
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # or an encoding that it lacks
        raise Unparsable(f"not XML: {error}") from error
    places.flush()
    return places.found


class _Places:
    """Collects texts and attributes by the names of the elements that they stand in."""

    def __init__(self) -> None:
        self.found: dict[str, list[str]] = {}
        self._names: list[str] = []
        self._open: Counter[str] = Counter()
        self._text: list[str] = []

    def open(self, name: str, attributes: Any) -> None:
        """Begin an element."""
        self.flush()
        self._names.append(name)
        self._open[name] += 1
        for attribute, value in attributes:
            self._add(f"{'/'.join(self._names[-MOST_NESTED:])}@{attribute}", value or "")

    def close(self, name: str) -> None:
        """End an element, and those inside that were left open."""
        self.flush()
        if not self._open[name]:
            return
        while True:
            ended = self._names.pop()
            self._open[ended] -= 1
            if ended == name:
                return

    def text(self, data: str) -> None:
        """Take a piece of text."""
        self._text.append(data)

    def flush(self) -> None:
        """End the text so far; blanks count as one."""
        text = _BLANKS.sub(" ", "".join(self._text)).strip()
        self._text = []
        if text:
            self._add("/".join(self._names[-MOST_NESTED:]), text)

    def _add(self, place: str, text: str) -> None:
        self.found.setdefault(place, []).append(text)


MOST_NESTED = 40
_VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track",
    "wbr",
})


class _HtmlReader(HTMLParser):
    """Hands what the browser would show, and attributes, to `_Places`."""

    def __init__(self, places: _Places) -> None:
        super().__init__(convert_charrefs=True)
        self._places = places
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._places.open(tag, attrs)
        self._hidden += tag in ("script", "style")
        if tag in _VOID:
            self._places.close(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            self._places.close(tag)
            self._hidden = max(0, self._hidden - (tag in ("script", "style")))

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._places.text(data)

    def close(self) -> None:
        """End the page; a tag that it breaks off in is text.

        The parser's own way would try each `<` of what is left again, to the end of the page.
        """
        self.handle_data(unescape(self.rawdata))
        self.rawdata = ""
        self._places.flush()
