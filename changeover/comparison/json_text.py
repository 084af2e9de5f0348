"""JSON into values, with every digit of its numbers. Pure.

orjson reads nearly all of it. What it would change or refuses though it is JSON is read by Python's
own parser: numbers that no float holds, another encoding than UTF-8, a byte order mark, halves of
surrogate pairs. Of a number with a fraction or an exponent the value counts: it is a float when 15
digits tell it, which a float keeps, and a Decimal otherwise. Equal numbers are so of one type.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

import orjson

from changeover.comparison.texts import Unparsable, decode, mark_of

Json = Any
KEPT_DIGITS = 15
"""Digits that every float preserves."""
_TINY = 1e-300
_DIGITS_ZERO = bytes.maketrans(b"123456789.", b"0000000000")
_LONG_NUMBER = b"0" * (KEPT_DIGITS + 1)
_INEXACT = re.compile(rb"(?:^|[\s:\[,])-?(?:\d{19}|(?=[\d.]{16})\d+(?:\.\d|[eE]))")
_UNDERFLOW = re.compile(rb"\d[eE]-\d{3}")
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|u([dD][89a-fA-F][\da-fA-F]{2})|.)",
    re.DOTALL)
_HALVES = 0x10F800
"""Where halves of surrogate pairs stand as characters: the last of those for private use."""
_BYTES = _HALVES - 0x100
_CONSTANT = chr(_BYTES - 1)
_STAND_INS = re.compile(f"[{_CONSTANT}-\U0010ffff]")


def parse_json(
    body: bytes, charset: str = "", *, is_exact: bool = False, is_lenient: bool = False
) -> Json:
    """Return a JSON document; of a duplicate key the last value counts (RFC 8259, section 4).

    Args:
        body: The bytes; JSON is UTF-8 unless a mark, zero bytes or `charset` say otherwise.
        charset: What the content type says.
        is_exact: Distinguish numbers that are nearer to zero than floats can be.
        is_lenient: Accept NaN, infinities and control characters in texts, as many readers do.

    Raises:
        Unparsable: Not JSON. NaN and Infinity are not JSON either.
    """
    if not (is_exact or is_lenient or _has_inexact_number(body)):
        # What it refuses may still be JSON: another charset, a mark, halves of pairs.
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(
            _text(body, charset), parse_float=_exact if is_exact else _number,
            parse_int=_integer, strict=not is_lenient,
            parse_constant=_constant if is_lenient else _refuse)
    # Python's parser calls itself for each level, about a thousand of them.
    except RecursionError as error:
        raise Unparsable("not JSON: nested too deep to be read") from error
    except ValueError as error:
        raise Unparsable(f"not JSON: {error}") from error


def may_underflow(body: bytes) -> bool:
    """Whether a number may be nearer to zero than floats can be."""
    return (b"e-" in body or b"E-" in body) and _UNDERFLOW.search(body) is not None


def without_parser_prefix(body: bytes) -> bytes:
    """Return JSON without the line that prevents other sites from running it as a script."""
    return body.partition(b"\n")[2] if body.startswith(b")]}'") else body


def as_json(value: Any) -> orjson.Fragment:
    """Return a Decimal as the number that it is in JSON: for orjson's `default`.

    Raises:
        TypeError: Not a Decimal.
    """
    if type(value) is Decimal:
        return orjson.Fragment(number_text(value))
    raise TypeError(type(value).__name__)


def number_text(number: Decimal) -> str:
    """Return a number as JSON has it, with a fraction or an exponent."""
    text = str(number)
    return text if "." in text or "E" in text else f"{text}.0"


def shown(text: str) -> str:
    r"""Return a text with the stand-ins of what is no character written out: `\ud83d`, `\xe9`."""
    return text if text.isascii() else _STAND_INS.sub(_written, text)


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code >= _HALVES:
        return f"\\u{code - _HALVES + 0xD800:04x}"
    return f"\\x{code - _BYTES:02x}" if code >= _BYTES else ""


def _has_inexact_number(body: bytes) -> bool:
    """Whether orjson would lose digits of a number.

    16 digits, or 15 and a point, stand in a row in such numbers: three of every fifth character.
    """
    # A first look at every fifth byte costs a fifth, and most bodies have no such number.
    if b"000" not in body[::5].translate(_DIGITS_ZERO):
        return False
    at = body.translate(_DIGITS_ZERO).find(_LONG_NUMBER)
    return at >= 0 and _INEXACT.search(body, max(0, at - 2)) is not None


def _text(body: bytes, charset: str) -> str:
    """Return the text of JSON; bytes that are of no charset stand for themselves."""
    if mark_of(body)[0]:
        text = decode(body, "")
    # JSON begins with two ASCII characters: zero bytes show UTF-16 or UTF-32 (RFC 4627).
    elif b"\0" in body[:4]:
        text = decode(body, json.detect_encoding(body))
    else:
        try:
            text = body.decode()
        except ValueError:
            text = _in_charset(body, charset)
    return _ESCAPE.sub(_whole, text) if "\\ud" in text or "\\uD" in text else text


def _in_charset(body: bytes, charset: str) -> str:
    try:
        if charset and charset.lower() not in ("utf-8", "utf8"):
            return decode(body, charset)
    except Unparsable:
        pass
    # Systems that copy old texts unchecked send such bytes: compared one by one, not refused.
    text = body.decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda found: chr(_BYTES + ord(found[0]) - 0xDC00), text)


def _whole(found: re.Match[str]) -> str:
    """Return an escape; of half a surrogate pair the character that stands for it."""
    return chr(_HALVES + int(found[1], 16) - 0xD800) if found[1] else found[0]


def _number(text: str) -> float | Decimal:
    """Return a number; a float when that preserves it."""
    number = float(text)
    return number if abs(number) < _TINY else _kept(text, number)


def _exact(text: str) -> float | Decimal:
    number = float(text)
    if number == 0 and not text.lower().partition("e")[0].strip("-0."):
        return number
    return _kept(text, math.inf if abs(number) < _TINY else number)


def _kept(text: str, number: float) -> float | Decimal:
    digits = text.lower().partition("e")[0].replace(".", "").lstrip("-0").rstrip("0")
    if len(digits) <= KEPT_DIGITS and math.isfinite(number):
        return number
    return _plain(text)


def _plain(text: str) -> Decimal:
    """Return a number with its digits, but for zeros that say nothing.

    Raises:
        ValueError: Its exponent is beyond all reason.
    """
    try:
        sign, digits, exponent = Decimal(text).as_tuple()
    except ArithmeticError as error:
        raise ValueError(f"{text[:40]} is a number that nothing can store") from error
    # 1.50 and 1.5 are one number: both must become the same Decimal.
    shortest = list(digits)
    while len(shortest) > 1 and shortest[-1] == 0:
        shortest.pop()
    return Decimal((sign, tuple(shortest), int(exponent) + len(digits) - len(shortest)))


def _integer(text: str) -> int | Decimal:
    try:
        return int(text)
    # More digits than Python makes a number of.
    except ValueError:
        return _plain(text)


def _constant(name: str) -> str:
    return _CONSTANT + name


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
