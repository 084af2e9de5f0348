"""Bodies by content type."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.comparison.answers import compare_bodies
from changeover.comparison.documents import Unparsable, parse_body
from changeover.comparison.rules import Rule, RuleSet
from changeover.comparison.similarity import Kind


@pytest.mark.parametrize(("body", "kind", "expected"), [
    (b'{"a": 1}', "application/json", {"a": 1}),
    (b'{"a": 1}', "application/problem+json; charset=utf-8", {"a": 1}),
    (b'{"n": 9999999999999999999999}', "application/json", {"n": 9999999999999999999999}),
    (b"null", "application/json", None),
    (b'{"a": 1}', "text/json", {"a": 1}), (b'{"a": 1}', "application/x-amz-json-1.1", {"a": 1}),
    (b'{"a": 1}', "application/vnd.shop.v2+json", {"a": 1}), (b'{"a": 1}', "Text/X-JSON", {"a": 1}),
    (b'{"a": 1}', "application/json, application/json", {"a": 1}),
    (b'{"a": 1}', "application/json charset=utf-8", {"a": 1}),
    (b' {"a": 1}', "", {"a": 1}), (b"[1]", "text/html; charset=UTF-8", [1]),
    (b'[1]', "text/plain", [1]), (b"[1] first", "text/plain", "[1] first"),
    (b'{"a": 1}\n\n[2]\r\n', "application/x-ndjson", [{"a": 1}, [2]]),
    (b'1\n2', "application/jsonl", [1, 2]), (b'{"a": 1}\n', "application/stream+json", [{"a": 1}]),
    (b'\x1e{"a":\n 1}\n\x1e2\n', "application/json-seq", [{"a": 1}, 2]),
    (b"a,b\r\n1,\"x,y\"\r\n", "text/csv", [["a", "b"], ["1", "x,y"]]),
    (b"a;b\n1,5;2", "text/csv; charset=utf-8", [["a", "b"], ["1,5", "2"]]),
    (b"a\tb", "text/tab-separated-values", [["a", "b"]]),
    (b'--x\r\nContent-Type: application/json\r\n\r\n{"a": 1}\r\n--x\r\n\r\nhi\r\n--x--\r\n',
     'multipart/mixed; boundary="x"',
     [{"headers": {"content-type": "application/json"}, "body": {"a": 1}},
      {"headers": {}, "body": "hi"}]),
    (b"--x\nContent-Transfer-Encoding: base64\nContent-Type: text/plain\n\nSGk=\n--x--",
     "multipart/form-data; boundary=x",
     [{"headers": {"content-transfer-encoding": "base64", "content-type": "text/plain"},
       "body": "Hi"}]),
    (b"\xef\xbb\xbfHi", "text/plain", "Hi"),
    ("Hi".encode("utf-16"), "text/plain", "Hi"),
    (b"a=1&b=&a=2", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": [""]}),
    (b'data: {"a": 1}\n\nevent: end\nid: 7\ndata: x\ndata: y\n\n: ping\n\n', "text/event-stream",
     [{"event": "message", "data": {"a": 1}}, {"event": "end", "data": "x\ny", "id": "7"}]),
    ("grün".encode("latin-1"), "text/plain; charset=latin-1", "grün"),
], ids=str)
def test_body_is_read_by_its_type(body: bytes, kind: str, expected: Any) -> None:
    """What can differ, and nothing that cannot."""
    assert parse_body(body, kind) == expected


@pytest.mark.parametrize(("first", "second", "body", "is_same"), [
    ("application/javascript", "text/javascript; charset=utf-8", b"let a = 1", True),
    ("application/octet-stream", "", b"\x00\x01", True),
    ("", "text/plain; charset=utf-8", b"a", True),
    ("application/octet-stream", "application/json", b'{"a": 1}', True),
    ("text/html", "text/plain", b"<p>a", False),
    ("text/plain; charset=latin-1", "text/plain; charset=utf-8", b"\xc3\xa9", False),
    ("", "text/plain", b"[1]", True), ("", "application/xml", b"[1]", False),
], ids=str)
def test_same_bytes_differ_only_where_both_types_say_how_to_read_them(
    first: str, second: str, body: bytes, is_same: bool
) -> None:
    """A type that says nothing cannot make another body of the same bytes; a charset can."""
    for types in ((first, second), (second, first)):
        assert (not compare_bodies(body, body, types).divergences) == is_same


def test_other_bodies_are_size_and_digest() -> None:
    """Images and the like are the same or not."""
    assert parse_body(b"\x89PNG", "image/png")["size"] == 4


@pytest.mark.parametrize(("body", "kind"), [
    (b"{", "application/json"), (b"NaN", "application/json"), (b"<a>", "text/xml"),
    (b"\xff", "text/plain"), (b"[" * 2000, "application/json"), (b"", "application/json"),
    (b"\x1e{", "application/json-seq"), (b"1\n{", "application/x-ndjson"),
    (b"--x\r\n\r\nhi", "multipart/mixed; boundary=x"), (b"hi", "multipart/mixed"),
    (b'{"n": 1e99999999999999999999}', "application/json"),
    (b"+2AA-", "text/plain; charset=utf-7"),
    (b"a=1&" * 10_001, "application/x-www-form-urlencoded"),
    *((b'<?xml version="1.0" encoding="%s"?><a>1</a>' % name, "text/xml")
      for name in (b"idna", b"foo", b"unicode_escape")),
    (b"<div>" * 200_000, "text/html"), (b"<a>" * 2_000 + b"</a>" * 2_000, "text/xml"),
], ids=lambda value: value[:40])
def test_unreadable_body_is_said_so(body: bytes, kind: str) -> None:
    """With the one error that callers expect."""
    with pytest.raises(Unparsable):
        parse_body(body, kind)


def test_empty_body_is_not_null() -> None:
    """A candidate that says nothing where the baseline says `null` differs; both empty do not."""
    kind = "application/json"
    assert not compare_bodies(b"null", b"", (kind, kind)).is_match
    assert compare_bodies(b"", b"", (kind, "application/problem+json")).is_match


@pytest.mark.timeout(20)
@pytest.mark.parametrize("page", [
    b"<a>" * 50_000 + b"</b>" * 50_000, b"<a " * 50_000, b"<a b='" * 50_000, b"<!--" * 50_000,
    b"<a/" * 50_000, b"<p>x<li>" * 50_000,
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
        str(parse_body(body, f"text/plain; charset={charset}")).encode()


JSON = "application/json"
LONGER = [  # equal as floats
    (b"100000000000000.01", b"100000000000000.02"), (b"0.1", b"0.1000000000000000001"),
    (b"1234567890123456e5", b"1234567890123456.1e5"), (b"1e400", b"2e400"), (b"-1e400", b"1e400"),
    (b"1e-400", b"2e-400"), (b"1e-400", b"0.0"), (b"1.5E-320", b"1.50001E-320"),
    (b"1" * 19 + b"3", b"1" * 19 + b"4"), (b"-9223372036854775809", b"-9223372036854775810"),
    (b"9" * 5_000, b"9" * 4_999 + b"8"), (b"0.30000000000000004", b"0.30000000000000003"),
    (b"18446744073709551616", b"1.8446744073709551616e19"),
]


@pytest.mark.parametrize("before", range(5))
@pytest.mark.parametrize("numbers", LONGER, ids=lambda pair: pair[0][:20].decode())
def test_numbers_differ_in_any_digit_wherever_they_stand(
    numbers: tuple[bytes, bytes], before: int
) -> None:
    """A float would be the same for both; so would two that are shown cut."""
    ours, theirs = (b" " * before + b'{"n":%s,"m":[1]}' % number for number in numbers)
    (only,) = compare_bodies(ours, theirs, (JSON, JSON)).divergences
    assert only.path == "$.n"
    assert only.baseline != only.candidate or len(numbers[0]) > 200


@pytest.mark.parametrize(("one", "other"), [
    (b"100000000000000.01", b"100000000000000.010"), (b"1.50e2", b"150.0"), (b"-0", b"0"),
    (b"-0.0", b"0.0"), (b"1e400", b"10E+399"), (b"12345678901234567.0", b"1.2345678901234567E16"),
    (b"0.1000000000000000000", b"0.1"), (b"0e-400", b"0.0"), (b"1e-310", b"10e-311"),
    (b"12345678901234567890123", b"12345678901234567890123"),
])
def test_equal_numbers_are_the_same_however_they_are_written(one: bytes, other: bytes) -> None:
    """By value; of one type: with a fraction or an exponent, or without both."""
    found = [compare_bodies(b'{"n":%s,"u":1e400}' % a, b'{ "n":%s,"u":1e400}' % b, (JSON, JSON))
             for a, b in ((one, other), (other, one), (one, one))]
    assert all(each.is_match for each in found)
    assert compare_bodies(b"[%s]" % one, b"[ %s]" % other, (JSON, JSON)).is_match


def test_long_decimals_take_rules_and_are_never_of_another_type() -> None:
    """A Decimal beside a float is a number that changed, and near when it is near."""
    bodies = b'{"n": 0.30000000000000004}', b'{"n": 0.3}'
    (only,) = compare_bodies(*bodies, (JSON, JSON)).divergences
    assert only.kind is Kind.CHANGED
    for rule in (Rule(absolute=1e-9), Rule(relative=1e-9), Rule(digits=9), Rule(decimals=9)):
        assert compare_bodies(*bodies, (JSON, JSON), RuleSet([("$.n", rule)])).is_match
    (other,) = compare_bodies(b"[100000000000000.01]", b"[7]", (JSON, JSON)).divergences
    assert (other.kind, other.baseline) == (Kind.TYPE, "100000000000000.01")


@pytest.mark.parametrize(("kind", "form"), [
    (JSON, lambda text: b"\xef\xbb\xbf" + text.encode()),
    (JSON, lambda text: text.encode("utf-16")), (JSON, lambda text: text.encode("utf-16-be")),
    (JSON, lambda text: text.encode("utf-32")),
    (f"{JSON}; charset=utf-16", lambda text: text.encode("utf-16-le")),
    (f"{JSON}; charset=iso-8859-1", lambda text: text.encode("latin-1")),
    (f"{JSON}; charset=iso-8859-1", lambda text: text.encode()),
    (JSON, lambda text: text.encode("latin-1")),
    (JSON, lambda text: text.replace("x", "\\ud83d").encode()),
    (JSON, lambda text: text.replace("x", "\\udc00\\\\").encode()),
    (JSON, lambda text: text.replace('"x"', "NaN").encode()),
    (JSON, lambda text: text.replace('"x"', "-Infinity").encode()),
    (JSON, lambda text: text.replace("x", "\n\x01").encode()),
    (JSON, lambda text: (text + "\n" + text).encode()),
    (JSON, lambda text: (")]}',\n" + text).encode()),
])
def test_rules_hold_in_what_is_nearly_json(kind: str, form: Callable[[str], bytes]) -> None:
    """Clients take it. As bytes it would be one place, which a time stamp makes differ always."""
    texts = [f'{{"t": {t}, "a": "é", "b": "x", "n": {n}}}' for t, n in ((1, 1), (2, 1), (1, 2))]
    first, same, other = (form(text) for text in texts)
    rules = RuleSet([("$.t", Rule(ignore=True)), ("$[*].t", Rule(ignore=True))])
    assert compare_bodies(first, same, (kind, kind), rules).is_match
    fields = compare_bodies(first, other, (kind, kind), rules).fields
    assert fields in ({"$.n"}, {"$[*].n"})


@pytest.mark.parametrize(("one", "other"), [
    (r'"\ud83d"', r'"\ud83c"'), (r'"\ud83d"', r'"\\ud83d"'), (r'"\ud83d"', '"\ufffd"'),
    ("NaN", "Infinity"), ("NaN", '"NaN"'), ("NaN", "null"), ("1", "NaN"),
])
def test_what_is_nearly_json_is_never_taken_for_something_else(one: str, other: str) -> None:
    """Each is only the same as itself."""
    bodies = [f"[{text}]".encode() for text in (one, other)]
    assert not compare_bodies(*bodies, (JSON, JSON)).is_match
    for body in bodies:
        assert compare_bodies(body, b" " + body, (JSON, JSON)).is_match


def test_half_of_a_surrogate_pair_is_shown_as_it_is_written() -> None:
    """An engineer finds it in the answer."""
    (only,) = compare_bodies(rb'["\ud83d!"]', b'["!"]', (JSON, JSON)).divergences
    assert only.baseline == r'"\ud83d!"'


@pytest.mark.parametrize("kinds", [("", JSON), (JSON, "text/html"), ("text/xml", ""),
                                   ("image/png", "text/plain"), (JSON, "multipart/mixed")])
def test_empty_bodies_are_the_same_whatever_their_types_say(kinds: tuple[str, str]) -> None:
    """Answers 204 and 304, and to HEAD, have none."""
    assert compare_bodies(b"", b"", kinds).is_match


@pytest.mark.parametrize(("body", "kind"), [
    (b'{"a": 1}', JSON), (b"<a/>", "text/xml"), (b"<p>x", "text/html"), (b"x", "image/png"),
    (b"x", "text/plain"), (b"a=1", "application/x-www-form-urlencoded"),
])
@pytest.mark.parametrize("other", ["", JSON, "text/plain"])
def test_body_that_became_empty_is_one_place_that_is_missing(
    body: bytes, kind: str, other: str
) -> None:
    """And not two places of a digest; a rule for the whole body holds."""
    (gone,) = compare_bodies(body, b"", (kind, other)).divergences
    (come,) = compare_bodies(b"", body, (other, kind)).divergences
    assert {gone.path, come.path} == {"$"}
    whole = RuleSet([("$", Rule(ignore=True))])
    assert compare_bodies(body, b"", (kind, other), whole).is_match


def test_type_that_changed_is_one_place() -> None:
    """A page instead of a document."""
    for kinds in ((JSON, "text/html"), ("text/html", JSON)):
        bodies = [b"{}" if kind == JSON else b"<p>" for kind in kinds]
        (only,) = compare_bodies(*bodies, kinds).divergences
        assert (only.path, only.kind) == ("$", Kind.TYPE)
