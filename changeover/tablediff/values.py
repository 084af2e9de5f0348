"""When two stored values are the same: one rule for every pair of kinds of columns. Pure.

Two systems write one value in many ways: `1.5` and `1.50`, an instant in two zones, a number as
JSON's `5` and `5.0`. `RULES` says for each kind what counts as the same; docs/validation.md shows
them. Which columns have which kind, and how they are read, is `tables`.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal, DecimalException
from enum import StrEnum
from typing import Any

from changeover.comparison.encodings import readable


class Kind(StrEnum):
    """What a column holds, as far as comparing is concerned."""

    INTEGER = "integer"
    NUMBER = "number"
    FLOAT = "float"
    BOOLEAN = "boolean"
    TEXT = "text"
    BYTES = "bytes"
    UUID = "uuid"
    JSON = "json"
    TIMESTAMP = "timestamp"
    DATE = "date"
    TIME = "time"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Rule:
    """What counts as the same for values of a kind.

    `same` and `other` are examples of two values that are the same, or differ; `compared` makes of
    a value what is compared: equal exactly when the values are the same.
    """

    means: str
    compared: Callable[[Any], Any]
    same: tuple[tuple[Any, Any], ...]
    other: tuple[tuple[Any, Any], ...]


_NUMBERS = {Kind.INTEGER, Kind.NUMBER, Kind.FLOAT}
_STRONGER_THAN_TEXT = (Kind.BOOLEAN, Kind.JSON, Kind.UUID, Kind.BYTES, Kind.TIMESTAMP, Kind.DATE,
                       Kind.TIME)
_NUMERAL = re.compile(
    r"[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|inf(inity)?)|nan", re.IGNORECASE)
_FRACTION = re.compile(r"([.,])(\d+)")
_TRUE, _FALSE = {"1", "t", "true", "y", "yes", "on"}, {"0", "f", "false", "n", "no", "off"}


def common_kind(baseline: Kind, candidate: Kind) -> Kind:
    """Return the kind by whose rule the values of two columns are compared."""
    if baseline == candidate:
        return baseline
    pair = {baseline, candidate}
    if pair <= _NUMBERS:
        return Kind.NUMBER
    for kind in _STRONGER_THAN_TEXT:
        if kind in pair:
            return kind
    if Kind.OTHER in pair:
        return (pair - {Kind.OTHER}).pop()
    return Kind.TEXT


def are_same(kind: Kind, one: Any, other: Any) -> bool:
    """Whether two values are the same by the rule of a kind; NULL is the same as NULL only."""
    if one is None or other is None:
        return one is other
    compared = RULES[kind].compared
    try:
        is_same: bool = compared(one) == compared(other)
    # JSON that is nested too deeply to be taken apart.
    except RecursionError:
        is_same = _text(one) == _text(other)
    return is_same


def shown(value: Any) -> str:
    """Return a value for people; bytes as hexadecimal digits, what is no UTF-8 as U+FFFD."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return str(value).lower()
    return readable(str(value))


def _text(value: Any) -> Any:
    """Return text as it is, and bytes as bytes: they are never the same."""
    if isinstance(value, bytes):
        return value
    # `true`, as databases write it; Python writes `True`.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(value: Any) -> Any:
    """Return sign, digits and exponent, without trailing zeros: exact, however large it is."""
    if isinstance(value, bytes) or not _is_numeral(value):
        return _text(value)
    try:
        found = Decimal(value if isinstance(value, int) else str(value).strip())
    except DecimalException:  # an exponent that no decimal has
        return _text(value)
    if not found.is_finite():
        return "number", str(found).lower()
    sign, digits, exponent = found.as_tuple()
    # By hand: Decimal's own `normalize` rounds to 28 digits.
    length = len(digits)
    while length and not digits[length - 1]:
        length -= 1
    if not length:
        return "number", 0
    return "number", sign, digits[:length], int(exponent) + len(digits) - length


def _is_numeral(value: Any) -> bool:
    """Whether a value is a number, or a text that databases read as one."""
    return not isinstance(value, str) or _NUMERAL.fullmatch(value.strip()) is not None


def _float(value: Any) -> Any:
    if isinstance(value, bytes) or not _is_numeral(value):
        return _text(value)
    try:
        found = float(value)
    # Too large, or a signaling NaN.
    except (OverflowError, ValueError):
        return _number(value)
    return "number", "nan" if math.isnan(found) else found


def _boolean(value: Any) -> Any:
    text = _text(value)
    if isinstance(text, bytes):
        return text
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else text


def _fraction(text: str) -> tuple[str, str]:
    """Return a time without its fraction of a second, and the fraction's digits: all of them."""
    found = _FRACTION.search(text)
    if found is None:
        return text, ""
    return text[:found.start()] + text[found.end():], found[2].rstrip("0")


def _instant(value: Any) -> Any:
    """Return a moment in UTC and its fraction of a second; a number is no moment."""
    if not isinstance(value, str):
        return _number(value) if isinstance(value, int | float) else _text(value)
    text, digits = _fraction(value.strip().upper())
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        return moment, digits
    # Databases know `infinity` and years before Christ: equal only as texts.
    except (ValueError, OverflowError):
        return value


def _time(value: Any) -> Any:
    if not isinstance(value, str):
        return _number(value) if isinstance(value, int | float) else _text(value)
    text, digits = _fraction(value.strip().upper())
    try:
        return time.fromisoformat(text).isoformat(), digits
    except ValueError:
        return value


def _json(value: Any) -> Any:
    """Return a document in which numbers are exact, and an object's order means nothing."""
    # SQLite makes numbers of them.
    if isinstance(value, int | float):
        return _number(value)
    try:
        return json.loads(value, parse_float=_number, parse_int=_number,
                          parse_constant=lambda name: ("number", name.lower()))
    except (TypeError, ValueError):
        return "no JSON", _text(value)


def _uuid(value: Any) -> Any:
    if isinstance(value, bytes):
        return uuid.UUID(bytes=value) if len(value) == 16 else value
    try:
        return uuid.UUID(str(value))
    except ValueError:
        return _text(value)


def _other(value: Any) -> Any:
    return _number(value) if isinstance(value, int | float | Decimal) else _text(value)


RULES: dict[Kind, Rule] = {
    Kind.INTEGER: Rule(
        "by value, exactly", _number,
        ((5, 5), (2**80, 2**80), (5, "5")),
        ((2**53, 2**53 + 1), (5, "five"), (-5, 5), (1000, "1_000"), (1, "\uff11"))),
    Kind.NUMBER: Rule(
        "by value, exactly; trailing zeros do not matter", _number,
        ((Decimal("1.50"), 1.5), (Decimal("1E+2"), 100), (Decimal("-0"), 0), (0.1, Decimal("0.1")),
         (Decimal("NaN"), float("nan")), ("1e999999999", "10e999999998")),
        ((Decimal("0.3"), 0.1 + 0.2), (Decimal("1.5"), Decimal("1.5000001")),
         (Decimal("Infinity"), Decimal("-Infinity")), ("1e999999999", "1e999999998"))),
    Kind.FLOAT: Rule(
        "as the nearest 64-bit number", _float,
        ((0.1, "0.10"), (-0.0, 0.0), (float("nan"), float("nan")), (1e22, 10**22)),
        ((0.1, 0.1000000000000001), (1.0, "one"), (float("inf"), float("-inf")))),
    Kind.BOOLEAN: Rule(
        "1, t, true, y, yes, on are true; 0, f, false, n, no, off are false", _boolean,
        ((True, 1), (False, "f"), ("yes", "TRUE"), (0, "off")),
        ((True, 0), (True, 2), (False, ""), ("yes", "ja"))),
    Kind.TEXT: Rule(
        "character by character; a number by its digits as written", _text,
        (("a", "a"), (5, "5"), ("caf\udce9", "caf\udce9")),
        (("a", "a "), ("é", "e\u0301"), ("a\r\n", "a\n"), ("", " "), ("ab", b"ab"), ("6162", b"ab"),
         ("1.5", "1.50"), ("A", "a"))),
    Kind.BYTES: Rule(
        "byte by byte; text is never bytes", _text,
        ((b"\x00\xff", b"\x00\xff"), (b"", b"")), ((b"a", "a"), (b"\xab", "ab"), (b"a", b"a\x00"))),
    Kind.UUID: Rule(
        "by its 128 bits: with or without dashes, upper or lower case, as text or 16 bytes", _uuid,
        (("AAAAAAAA-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "a" * 32), (b"\xaa" * 16, "a" * 32)),
        (("a" * 32, "b" * 32), ("a" * 31, "a" * 32))),
    Kind.JSON: Rule(
        "by value: the order in an object does not matter, numbers are exact and never equal text, "
        "the last of duplicate names counts; invalid or too deeply nested JSON is compared as text",
        _json,
        (('{"n": 5}', '{"n":5.0}'), ('{"a":1,"b":2}', '{"b":2,"a":1}'), ('"\\u00e9"', '"é"'),
         ('{"n": 1e2}', '{"n": 100}'), ("5", 5), ("0.5", 0.5), ("[1e999999999]", "[1e999999999]"),
         ('{"a":1,"a":2}', '{"a":2}'), ("[" * 5000, "[" * 5000), ("null", "null")),
        (('{"p": 0.5}', '{"p": "0.5"}'), ('{"n": 1}', '{"n": true}'), ("[1, 2]", "[2, 1]"),
         ('{"n": 9007199254740992}', '{"n": 9007199254740993}'), ('{"a": null}', "{}"),
         ("[1e999999999]", "[1e999999998]"), ("[" * 5000 + "]" * 5000, "[" * 5001 + "]" * 5001),
         ('"1"', "1"), ("{", "{ "))),
    Kind.TIMESTAMP: Rule(
        "as moments, with every digit of the fraction; without a zone it is UTC; a date is its "
        "midnight; a number never equals a moment", _instant,
        (("2026-03-01T13:00:00.500+02:00", "2026-03-01 11:00:00.5"),
         ("2026-03-01T10:00:00Z", "2026-03-01 10:00"), ("2026-03-01", "2026-03-01 00:00:00"),
         ("infinity", "infinity"), (1_700_000_000, 1_700_000_000.0)),
        (("2026-01-01 00:00:00.123456789", "2026-01-01 00:00:00.123456"),
         ("2026-01-01 00:00:00", "2026-01-01 00:00:00.000000001"), (20260101, "2026-01-01"),
         ("2026-03-01 10:00+01", "2026-03-01 10:00"), ("infinity", "-infinity"))),
    Kind.DATE: Rule(
        "as days", _instant,
        (("2026-03-01", "2026-03-01"), ("0044-03-15 BC", "0044-03-15 BC")),
        (("2026-03-01", "2026-03-02"), ("2026-03-01", "2026-03-01 10:00"))),
    Kind.TIME: Rule(
        "as times of day, with every digit of the fraction, and their zone", _time,
        (("10:30", "10:30:00.000000"), ("10:30:00.500+02", "10:30:00.5+02:00")),
        (("10:30:00.1234567", "10:30:00.123456"), ("10:30+02", "08:30+00"), (1030, "10:30"))),
    Kind.OTHER: Rule(
        "as the text that the database shows; a number never equals text", _other,
        (("1 day", "1 day"), ("{1,2}", "{1,2}"), (5, 5.0)),
        (("$1.00", "$1"), (5, "5"), (b"a", "a"))),
}
"""By kind. Columns of two kinds are compared by the rule of `common_kind`."""
