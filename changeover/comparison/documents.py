"""Bytes into values that can be compared, by content type. Pure.

What each type becomes stands at `parse_body`. XML and HTML become an `Element`, everything else a
value as a JSON parser returns it.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import re
from typing import Any
from urllib.parse import parse_qs

from changeover.comparison.json_text import Json, parse_json, without_parser_prefix
from changeover.comparison.markup import read_xml
from changeover.comparison.multipart import MOST_NESTED, parts_of
from changeover.comparison.texts import Unparsable, charset_in, decode, mark_of

__all__ = ["Json", "Unparsable", "is_text", "parse_body", "parse_json"]

MOST_FORM_FIELDS = 10_000
_KIND = re.compile(r"[^;,\s]*")
_JSON = re.compile(r"(?:^|.*[/+.-])json(?:[.-]\d[\d.]*)?(?:\+protobuf)?\Z")
_XML = re.compile(r".*[/+.-](?:xml(?:-external-parsed-entity)?|xsl)\Z")
_LINES = re.compile(
    r".*[/+.-](?:(?:nd|ld)json|json-?l|json-?lines|json-seq|stream\+json|concatenated-json)\Z")
_DECLARED = re.compile(r"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]+)")
_FORM = "application/x-www-form-urlencoded"
_TABLES = ("text/csv", "application/csv", "text/tab-separated-values")
_SNIFFED = ("", "text/plain", "text/html")
"""Types that JSON is sent with, too: PHP says `text/html` by default."""


def parse_body(
    body: bytes, content_type: str, *, is_exact: bool = False, is_lenient: bool = False,
    levels: int = MOST_NESTED,
) -> Any:
    """Return a body as a value that `compare_bodies` compares, by its content type.

    1. JSON (`application/json`, `text/json`, `*+json` …): the document. So are objects and lists
       without a type, or sent as text or HTML. 2. JSON lines and sequences: a list.
    3. HTML and XML (`*+xml` …): the root element. 4. Forms: `{field: [values]}`.
    5. Event streams: a list of events; when they came is ignored. 6. CSV: a list of rows.
    7. Several parts: a list of them. 8. Other text: the string. 9. All else: size and sha256.

    Args:
        body: The bytes, unpacked.
        content_type: The header's value.
        is_exact: As `parse_json`.
        is_lenient: As `parse_json`; several documents are accepted where JSON is one, too.
        levels: How deep parts may stand in parts.

    Raises:
        Unparsable: The body is not what its content type says.
    """
    if content_type == "application/json" and not (is_exact or is_lenient):
        # Most are, and half a microsecond counts.
        return parse_json(body)
    kind, charset = _kind(content_type), charset_in(content_type)
    # Before JSON, whose pattern such a type also fits: its lines are no one document.
    if _LINES.match(kind):
        return _parse_lines(body, charset, is_exact=is_exact)
    if _JSON.match(kind):
        if is_lenient:
            return _parse_lenient(body, charset)
        return parse_json(body, charset, is_exact=is_exact)
    if kind in _SNIFFED and _begins_with_bracket(body):
        # A text that begins with a bracket.
        with contextlib.suppress(Unparsable):
            return parse_json(body, charset, is_exact=is_exact)
    if kind.startswith("multipart/") and levels:
        return _parse_parts(body, content_type, levels - 1)
    return _parse_other(body, kind, charset)


def _parse_other(body: bytes, kind: str, charset: str) -> Any:
    """Return what is neither JSON nor several parts: markup, tables, texts, bytes."""
    if _XML.match(kind):
        return read_xml(_xml_text(body, charset))
    if kind == "text/html":
        # Imported where a page comes: few migrations have any, and the parser is not small.
        from changeover.comparison.pages import read_page

        return read_page(body, charset)
    if kind == _FORM:
        return _parse_form(decode(body, charset or "utf-8"))
    if kind == "text/event-stream":
        return parse_events(decode(body, "utf-8"))
    if kind in _TABLES:
        return _parse_table(decode(body, charset or "utf-8"), is_tabbed=kind.endswith("values"))
    if kind.startswith("text/"):
        return decode(body, charset or "utf-8")
    return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def _begins_with_bracket(body: bytes) -> bool:
    return body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def is_opaque(body: bytes, content_type: str) -> bool:
    """Whether a type says nothing of how to read a body: only its size and digest are compared."""
    kind = _kind(content_type)
    if not kind:
        return not _begins_with_bracket(body)
    is_known = kind in _TABLES or kind == _FORM or kind.startswith(("text/", "multipart/"))
    return not (is_known or _JSON.match(kind) or _LINES.match(kind) or _XML.match(kind))


def is_text(content_type: str) -> bool:
    """Whether an empty body of a type is an empty text, and not a missing document."""
    kind = _kind(content_type)
    # Some documents are sent as `text/…`; none of them may be empty.
    is_document = kind == "text/html" or _JSON.match(kind) or _XML.match(kind)
    return kind.startswith("text/") and not is_document


def is_json(content_type: str) -> bool:
    """Whether a type says that the body is a JSON document."""
    kind = _kind(content_type)
    return bool(_JSON.match(kind)) and not _LINES.match(kind)


def _kind(content_type: str) -> str:
    """Return a type without parameters; of several, as two headers give them, the first."""
    found = _KIND.match(content_type.strip())
    return found[0].lower() if found else ""


def _parse_parts(body: bytes, content_type: str, levels: int) -> list[Json]:
    """Return the parts of a body, each with its headers."""
    found: list[Json] = []
    for headers, inner in parts_of(body, content_type):
        part = _part(inner, headers.get("content-type", ""), levels)
        found.append({"headers": headers, "body": part})
    return found


def _part(body: bytes, content_type: str, levels: int) -> Json:
    """Return one of several parts; one that is not what it says, or markup, as text or bytes."""
    kind = _kind(content_type)
    if kind == "text/html" or _XML.match(kind):
        kind = content_type = "text/plain; charset=" + (charset_in(content_type) or "utf-8")
    try:
        return parse_body(body, content_type or "text/plain", levels=levels)
    # One part that is wrong must not hide what differs in the others.
    except Unparsable:
        return parse_body(body, "application/octet-stream")


def _parse_lines(body: bytes, charset: str, *, is_exact: bool = False) -> list[Json]:
    """Return JSON documents of which each stands on a line, or behind a record separator.

    Source: ndjson.org; RFC 7464 (JSON text sequences).
    """
    if mark_of(body)[0] or charset.lower() not in ("", "utf-8", "utf8"):
        body = decode(body, charset).encode()
    found = []
    separator = b"\x1e" if b"\x1e" in body else b"\n"
    for number, line in enumerate(body.split(separator), 1):
        if line.strip():
            try:
                found.append(parse_json(line, is_exact=is_exact))
            except Unparsable as error:
                raise Unparsable(f"line {number} is {error}") from error
    return found


def _parse_lenient(body: bytes, charset: str) -> Json:
    body = without_parser_prefix(body)
    try:
        return parse_json(body, charset, is_lenient=True)
    except Unparsable:
        if b"\n" not in body.strip():
            raise
    return _parse_lines(body, charset)


def _xml_text(body: bytes, charset: str) -> str:
    """Return XML as text: by its mark, the header, its own declaration, or UTF-8 (RFC 7303)."""
    if not charset and not mark_of(body)[0]:
        # Without a mark the declaration itself is in the encoding that it declares.
        for encoding in ("utf-16-le", "utf-16-be"):
            if body.startswith("<?".encode(encoding)):
                charset = encoding
        found = _DECLARED.match(body[:400].decode("latin-1"))
        charset = charset or (found[1] if found else "utf-8")
    return decode(body, charset)


def _parse_form(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=MOST_FORM_FIELDS)
    except ValueError as error:
        raise Unparsable(f"not a form of at most {MOST_FORM_FIELDS} fields: {error}") from error


def _parse_table(text: str, *, is_tabbed: bool) -> list[list[str]]:
    """Return the rows of CSV; what separates fields is what the first line has most of."""
    first = text.partition("\n")[0]
    # Spreadsheets write semicolons where the comma is the decimal point.
    separator = "\t" if is_tabbed else max(",;\t", key=first.count)
    try:
        return [*csv.reader(io.StringIO(text, newline=""), delimiter=separator)]
    except csv.Error as error:
        raise Unparsable(f"not CSV: {error}") from error


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
            # The standard: an event without data is not dispatched.
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
        # A text may begin with a bracket, too: then it stays a text.
        with contextlib.suppress(Unparsable):
            event["data"] = parse_json(data.encode())
    return event
