"""Bodies by content type."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.comparison.answers import compare_bodies
from changeover.comparison.documents import Unparsable, parse_body


@pytest.mark.parametrize(("body", "kind", "expected"), [
    (b'{"a": 1}', "application/json", {"a": 1}),
    (b'{"a": 1}', "application/problem+json; charset=utf-8", {"a": 1}),
    (b'{"n": 9999999999999999999999}', "application/json", {"n": 9999999999999999999999}),
    (b"null", "application/json", None),
    (b"<p class=x>Hi <b>there</b></p><script>x()</script><br>", "text/html",
     {"p@class": ["x"], "p": ["Hi"], "p/b": ["there"]}),
    (b'<a id="1"><b>x</b> y </a>', "application/xml",
     {"a@id": ["1"], "a/b": ["x"], "a": ["y"]}),
    (b"a=1&b=&a=2", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": [""]}),
    (b'data: {"a": 1}\n\nevent: end\nid: 7\ndata: x\ndata: y\n\n: ping\n\n', "text/event-stream",
     [{"event": "message", "data": {"a": 1}}, {"event": "end", "data": "x\ny", "id": "7"}]),
    ("grün".encode("latin-1"), "text/plain; charset=latin-1", "grün"),
], ids=str)
def test_body_is_read_by_its_type(body: bytes, kind: str, expected: Any) -> None:
    """What can differ, and nothing that cannot."""
    assert parse_body(body, kind) == expected


def test_other_bodies_are_size_and_digest() -> None:
    """Images and the like are the same or not."""
    assert parse_body(b"\x89PNG", "image/png")["size"] == 4


@pytest.mark.parametrize(("body", "kind"), [
    (b"{", "application/json"), (b"NaN", "application/json"), (b"<a>", "text/xml"),
    (b"\xff", "text/plain"), (b"[" * 2000, "application/json"), (b"", "application/json"),
    (b'{"\\uD800":1,"n":1234567890123456789012}', "application/json"),
    (b"+2AA-", "text/plain; charset=utf-7"),
    (b"a=1&" * 10_001, "application/x-www-form-urlencoded"),
    *((b'<?xml version="1.0" encoding="%s"?><a>1</a>' % name, "text/xml")
      for name in (b"Shift_JIS", b"gb2312", b"idna", b"foo")),
    (b"<p><![x[", "text/html"),
], ids=lambda value: value[:40])
def test_unreadable_body_is_said_so(body: bytes, kind: str) -> None:
    """With the one error that callers expect."""
    with pytest.raises(Unparsable):
        parse_body(body, kind)


def test_empty_body_is_not_null() -> None:
    """A candidate that says nothing where the baseline says `null` differs; both empty do not."""
    kind = "application/json"
    assert not compare_bodies(b"null", b"", kind, kind).is_match
    assert compare_bodies(b"", b"", kind, "application/problem+json").is_match


@pytest.mark.parametrize(("page", "expected"), [
    ("<p>AT&T", {"p": ["AT&T"]}), ("<p>1 <a href=", {"p": ["1 <a href="]}),
    ("<p>1<script>x(", {"p": ["1"]}), ("<b><i>x</b>y</i>z", {"b/i": ["x"], "": ["y", "z"]}),
])
def test_broken_page_keeps_its_texts(page: str, expected: Any) -> None:
    """As a browser does, more or less; what is broken off is text."""
    assert parse_body(page.encode(), "text/html") == expected


@pytest.mark.timeout(20)
@pytest.mark.parametrize("page", [
    b"<a>" * 50_000 + b"</b>" * 50_000, b"<a " * 50_000, b"<a b='" * 50_000, b"<!--" * 50_000,
    b"<a/" * 50_000,
], ids=lambda page: page[:6].decode())
def test_page_without_sense_is_read_in_one_pass(page: bytes) -> None:
    """Users can bring such into a page; with a second look at each tag it would take minutes."""
    parse_body(page, "text/html")


@given(st.text("<!/[]>ab -&#x'\"=?", max_size=30), st.sampled_from(["text/html", "text/xml"]))
def test_any_markup_is_read_or_said_to_be_broken(text: str, kind: str) -> None:
    """Never another error."""
    with contextlib.suppress(Unparsable):
        parse_body(text.encode(), kind)


@given(st.binary(max_size=30), st.sampled_from([
    "utf-7", "utf-16", "shift_jis", "unicode_escape", "idna", "punycode", "hex", "rot13", "nope",
]))
@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_text_in_any_charset_can_be_stored(body: bytes, charset: str) -> None:
    """Whatever a header calls its charset: a text without halves of surrogate pairs, or not one."""
    with contextlib.suppress(Unparsable):
        parse_body(body, f"text/plain; charset={charset}").encode()


@pytest.mark.parametrize("before", range(5))
def test_long_integers_keep_their_digits_wherever_they_stand(before: int) -> None:
    """orjson alone would make the same float of both."""
    for number in ("1" * 19 + "3", "-9223372036854775809"):
        body = b" " * before + b'{"n":' + number.encode() + b"}"
        assert parse_body(body, "application/json") == {"n": int(number)}
