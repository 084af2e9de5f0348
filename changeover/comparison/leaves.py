"""Whether two leaves are the same under a rule. Pure and total: every pair of JSON values.

Numbers are equal by value (`-0.0` is `0.0`), and of one type: `1` and `1.0` differ unless the rule
is type-tolerant, `1` and `true` always. Error rates are Levenshtein distances: of characters over
the reference's length (CER), or of words (WER), as OCR and speech are measured. Rules use the
longer text as the reference, so that it does not matter which of the two is the baseline.
"""

from __future__ import annotations

import math
import re
import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rapidfuzz.distance import Levenshtein

from changeover.comparison.rules import Rule
from changeover.plan.expressions import replaced

_BLANKS = re.compile(r"\s+")
_NUMBERS = (int, float, Decimal)
_FRACTIONS = frozenset({float, Decimal})
"""Both stand for a JSON number with a fraction or an exponent, a Decimal where digits need it."""
_BEGIN_NUMBERS = frozenset("0123456789-+. \n\t")
MOST_DIGITS = 400
"""Digits before or after the point of a number in a text: floats have 324 at most. Beyond, as with
`1e999999`, it is a text: nobody means such numbers, and to compute with them takes long or fails.
"""


def loss(a: Any, b: Any, rule: Rule) -> float:
    """Return what of a leaf is lost, 0..1: 0 when the rule lets them pass for the same.

    Args:
        a: The baseline's value; not a container unless the types differ.
        b: The candidate's.
        rule: What is allowed to differ.
    """
    kind_a, kind_b = type(a), type(b)
    if kind_a is kind_b:
        if a == b:
            return 0.0
        if kind_a is str:
            return _text_loss(a, b, rule)
    is_number = kind_a in _NUMBERS and kind_b in _NUMBERS
    is_one_kind = kind_a is kind_b or {kind_a, kind_b} == _FRACTIONS
    if is_number and (is_one_kind or rule.is_type_tolerant):
        return 0.0 if _are_near(a, b, rule) else 1.0
    if rule.is_type_tolerant:
        numbers = _as_number(a), _as_number(b)
        if None not in numbers:
            return 0.0 if _are_near(*numbers, rule) else 1.0
    return 1.0


def is_type_change(a: Any, b: Any, rule: Rule) -> bool:
    """Whether two values differ in type, and not only in value."""
    kinds = {type(a), type(b)}
    is_tolerated = rule.is_type_tolerant and kinds <= {*_NUMBERS}
    return len(kinds) > 1 and kinds != _FRACTIONS and not is_tolerated


def string_form(text: str, rule: Rule) -> str:
    """Return a string as the rule compares it."""
    for pattern, replacement in rule.replace:
        text = replaced(text, pattern, replacement)
    if rule.unicode:
        text = unicodedata.normalize(rule.unicode, text)
    if rule.ignore_whitespace:
        text = _BLANKS.sub(" ", text).strip()
    return text.casefold() if rule.ignore_case else text


def _as_number(value: Any) -> int | float | Decimal | None:
    if type(value) in _NUMBERS:
        return value  # type: ignore[no-any-return]
    # Longer texts are ids or digests: nobody sends numbers of more than 40 characters.
    if type(value) is str and len(value) <= 40:
        try:
            number = Decimal(value)
        except ArithmeticError:
            return None
        is_usual = number.is_finite() and abs(number.adjusted()) <= MOST_DIGITS
        return number if is_usual else None
    return None


def _are_near(a: Any, b: Any, rule: Rule) -> bool:
    """Compare numbers; in decimals where they are not both floats, so that no digit is lost."""
    # As written: the float 0.1 itself is a little more than 0.1.
    if type(a) is float and type(b) is Decimal:
        a = Decimal(repr(a))
    elif type(a) is Decimal and type(b) is float:
        b = Decimal(repr(b))
    if a == b:
        return True
    if not rule.is_numeric:
        return False
    if type(a) is float and type(b) is float:
        if not (math.isfinite(a) and math.isfinite(b)):
            return False
        apart, larger = abs(a - b), max(abs(a), abs(b))
        # A decimal bound is rarely a float: 0.3 - 0.2 is a little less than 0.1.
        slack: Any = larger * 1e-15
    else:
        a, b = Decimal(a), Decimal(b)
        if not (a.is_finite() and b.is_finite()):
            return False
        if max(abs(a.adjusted()), abs(b.adjusted())) > MOST_DIGITS:
            return False
        apart, larger, slack = abs(a - b), max(abs(a), abs(b)), Decimal(0)
    return (
        (rule.absolute is not None and apart <= _like(apart, rule.absolute) + slack)
        or (rule.relative is not None and apart <= _like(apart, rule.relative) * larger + slack)
        or (rule.decimals is not None and _rounded(a, b, f".{rule.decimals}f"))
        or (rule.digits is not None and _rounded(a, b, f".{max(rule.digits, 1) - 1}e"))
    )


def _like(sample: float | Decimal, bound: float) -> Any:
    return Decimal(str(bound)) if isinstance(sample, Decimal) else bound


def _rounded(a: Any, b: Any, form: str) -> bool:
    one, other = format(a, form), format(b, form)
    # -0.00 and 0.00 are the same number in other words.
    return one == other or float(one) == float(other) == 0


def _text_loss(a: str, b: str, rule: Rule) -> float:
    # Amounts are often sent as texts; numeric rules hold for them as well.
    if (rule.is_numeric or rule.is_type_tolerant) and a[:1] in _BEGIN_NUMBERS:
        numbers = _as_number(a), _as_number(b)
        if None not in numbers and _are_near(*numbers, rule):
            return 0.0
    if rule.has_string_form:
        a, b = string_form(a, rule), string_form(b, rule)
        if a == b:
            return 0.0
    if rule.seconds is not None and _are_near_in_time(a, b, rule.seconds):
        return 0.0
    rates = []
    # The longer one is the reference: symmetric, and never more than 1.
    longer, shorter = (a, b) if len(a) >= len(b) else (b, a)
    if rule.cer is not None:
        rates.append((character_error_rate(longer, shorter), rule.cer))
    if rule.wer is not None:
        words = sorted((a.split(), b.split()), key=len)
        rates.append((_rate(words[1], words[0]), rule.wer))
    if not rates:
        return 1.0
    if any(rate <= allowed for rate, allowed in rates):
        return 0.0
    return min(rate for rate, _ in rates)


def character_error_rate(reference: str, hypothesis: str) -> float:
    """Return the edits of characters over the reference's length (1 for an empty reference).

    Source: Levenshtein 1966; Morris, Maier, Green 2004 on error rates.
    """
    return _rate(reference, hypothesis)


def word_error_rate(reference: str, hypothesis: str) -> float:
    """Return the edits of words over the number of the reference's words (see above)."""
    return _rate(reference.split(), hypothesis.split())


def _rate(reference: str | list[str], hypothesis: str | list[str]) -> float:
    return Levenshtein.distance(reference, hypothesis) / max(1, len(reference))


def _are_near_in_time(a: str, b: str, seconds: float) -> bool:
    times = _time(a), _time(b)
    if times[0] is None or times[1] is None:
        return False
    return abs((times[0] - times[1]).total_seconds()) <= seconds


def _time(text: str) -> datetime | None:
    """Return an ISO 8601 date or time; one without zone counts as UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
