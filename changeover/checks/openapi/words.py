"""What single words of a schema refuse: types, values, limits, patterns, formats. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from changeover.checks.openapi.flat import Flat, types_of, widened
from changeover.checks.openapi.schemas import text


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about what is not accepted any more, or (not certain) cannot be decided."""

    sentence: str
    is_certain: bool = True


def undecided(where: str, why: str) -> Finding:
    """Return that a person has to decide."""
    return Finding(f"{where} cannot be decided here ({why}): check it by hand", False)


def shared(a: Flat, b: Flat) -> frozenset[str]:
    """Return the types that both accept."""
    types = widened(a.types) & widened(b.types)
    return types if a.values is None else types & _types_of_all(a.values)


def _types_of_all(values: list[Any]) -> frozenset[str]:
    return frozenset[str]().union(*map(types_of, values))


def lost_types(a: Flat, b: Flat) -> set[str]:
    """Return the types that are not accepted any more."""
    ours, accepted = a.types, widened(b.types)
    if a.values is None:
        return set(ours - accepted)
    # 1 is a whole number and a number: it is accepted where one of both is.
    if all(types_of(value) & accepted for value in a.values):
        return set()
    return set(ours & _types_of_all(a.values) - accepted)


def lost_values(a: Flat, b: Flat, where: str) -> Iterator[Finding]:
    """Yield which values are not accepted any more."""
    accepted = {_value(value) for value in b.values or []}
    ours = a.values
    # These types have so few values that all can be listed.
    if ours is None and a.types <= {"boolean", "null"}:
        ours = [True, False] if "boolean" in a.types else []
        if "null" in a.types:
            ours.append(None)
    if ours is None:
        # The first ones say what is meant: an enumeration may have thousands.
        shown = ", ".join(map(str, (b.values or [])[:10]))
        what = f"may only be {shown}" if shown else "is refused"
        yield Finding(f"{where} {what} now")
    elif gone := [value for value in ours if _value(value) not in accepted]:
        listed = ", ".join(map(str, gone))
        yield Finding(f"{where} may not be {listed} any more")


def _value(value: Any) -> str:
    # JSON knows one number 1, however it is written.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return text(value)


_LIMITS: tuple[tuple[str, str, str, bool], ...] = (
    ("string", "minLength", "has at least {} characters now", True),
    ("string", "maxLength", "has at most {} characters now", False),
    ("array", "minItems", "has at least {} items now", True),
    ("array", "maxItems", "has at most {} items now", False),
    ("object", "minProperties", "has at least {} fields now", True),
    ("object", "maxProperties", "has at most {} fields now", False),
)


def limits(a: Flat, b: Flat, types: frozenset[str], where: str) -> Iterator[Finding]:
    """Yield which lengths, sizes and numbers are not accepted any more."""
    for kind, word, said, is_lower in _LIMITS:
        if kind in types and word in b.bounds:
            bound, ours = b.bounds[word], a.bounds.get(word, 0 if is_lower else None)
            # An object with three required fields has at least three, whatever it says.
            if word == "minProperties":
                ours = max(ours or 0, len(a.required))
            if a.values is not None:
                sizes = _sizes(a.values, kind)
                pick = min if is_lower else max
                ours = pick(sizes, default=bound)
            if ours is None or (ours < bound if is_lower else ours > bound):
                yield Finding(f"{where} {said.format(bound)}")
    if types & {"number", "integer"}:
        yield from _numbers(a, b, where, is_whole="number" not in a.types)


def _sizes(values: list[Any], kind: str) -> list[int]:
    """Return the lengths of those values that are texts, lists or objects, as `kind` says."""
    found = []
    for value in values:
        if isinstance(value, str | list | dict) and kind in types_of(value):
            found.append(len(value))
    return found


_NUMBER_LIMITS = (
    (1, "minimum", "exclusiveMinimum", "at least", "above"),
    (-1, "maximum", "exclusiveMaximum", "at most", "below"),
)


def _numbers(a: Flat, b: Flat, where: str, *, is_whole: bool) -> Iterator[Finding]:
    # Times -1 an upper bound is a lower one: one comparison serves both.
    for sign, plain, exclusive, at, beyond in _NUMBER_LIMITS:
        theirs = _bound(b, sign, plain, exclusive, is_whole=is_whole)
        ours = _bound(a, sign, plain, exclusive, is_whole=is_whole)
        if a.values is not None:
            numbers = [value for value in a.values if "number" in types_of(value)]
            ours = min(((sign * number, 0) for number in numbers), default=theirs)
        if theirs is not None and (ours is None or ours < theirs):
            bound, is_excluded = theirs
            word = beyond if is_excluded else at
            yield Finding(f"{where} has to be {word} {sign * bound:g} now")


def _bound(
    side: Flat, sign: int, plain: str, exclusive: str, *, is_whole: bool
) -> tuple[float, int] | None:
    """Return a lower bound of the values times `sign`, and 1 where it is excluded itself."""
    found = []
    for word in (plain, exclusive):
        if word in side.bounds:
            bound = sign * side.bounds[word], int(word == exclusive)
            found.append(_whole(*bound) if is_whole else bound)
    return max(found, default=None)


def _whole(bound: float, is_excluded: int) -> tuple[float, int]:
    """Return the smallest whole number that a lower bound allows: above 2 is at least 3."""
    if not float(bound).is_integer():
        return float(math.ceil(bound)), 0
    return bound + is_excluded, 0


def _pattern_word(a: Flat, said: list[Any], value: Any, where: str) -> Iterator[Finding]:
    yield Finding(f"{where} has the pattern {value} now", not said and a.values is None)


def _format_word(a: Flat, said: list[Any], value: Any, where: str) -> Iterator[Finding]:
    yield Finding(f"{where} has the format {value} now", a.values is None)


def _multiple_word(a: Flat, said: list[Any], value: Any, where: str) -> Iterator[Finding]:
    try:
        # Fractions of what is written: as a float 0.3 is no multiple of 0.1.
        step = Fraction(str(value))
        steps = [Fraction(str(one)) for one in said]
        numbers = []
        for known in a.values or []:
            if "number" in types_of(known):
                numbers.append(Fraction(str(known)))
    except ValueError:
        yield undecided(where, "`multipleOf` differs")
        return
    if "number" not in a.types:
        steps.append(Fraction(1))  # whole numbers are multiples of 1
    if step > 0:
        if a.values is not None:
            is_kept = all(number % step == 0 for number in numbers)
        else:
            is_kept = any(one % step == 0 for one in steps)
        if is_kept:
            return
    yield Finding(f"{where} has to be a multiple of {value} now")


def _unique_word(a: Flat, said: list[Any], value: Any, where: str) -> Iterator[Finding]:
    if value is True and True not in said and a.bounds.get("maxItems", 2) > 1:
        yield Finding(f"{where} may not have an item twice any more")


OTHERS: dict[str, tuple[frozenset[str], Callable[..., Iterator[Finding]]]] = {
    "pattern": (frozenset({"string"}), _pattern_word),
    "format": (frozenset({"string", "number", "integer"}), _format_word),
    "multipleOf": (frozenset({"number", "integer"}), _multiple_word),
    "uniqueItems": (frozenset({"array"}), _unique_word),
}
