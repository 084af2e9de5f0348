"""Bodies by content type."""

from __future__ import annotations

from typing import Any

import pytest

from changeover.comparison.documents import Unparsable, parse_body


@pytest.mark.parametrize(("body", "kind", "expected"), [
    (b'{"a": 1}', "application/json", {"a": 1}),
    (b'{"a": 1}', "application/problem+json; charset=utf-8", {"a": 1}),
    (b'{"n": 9999999999999999999999}', "application/json", {"n": 9999999999999999999999}),
    (b"", "application/json", None),
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
    (b"\xff", "text/plain"), (b"[" * 2000, "application/json"),
], ids=str)
def test_unreadable_body_is_said_so(body: bytes, kind: str) -> None:
    """With the one error that callers expect."""
    with pytest.raises(Unparsable):
        parse_body(body, kind)


@pytest.mark.parametrize("before", range(5))
def test_long_integers_keep_their_digits_wherever_they_stand(before: int) -> None:
    """orjson alone would make the same float of both."""
    for number in ("1" * 19 + "3", "-9223372036854775809"):
        body = b" " * before + b'{"n":' + number.encode() + b"}"
        assert parse_body(body, "application/json") == {"n": int(number)}
