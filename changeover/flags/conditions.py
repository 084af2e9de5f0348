"""Attributes of an application's context as conditions, compiled to plain functions. Pure.

A value of a wrong type never fits and never raises: the context comes from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from changeover.domain.routing import BLANKS, Key
from changeover.plan.flags import AttributeSpec
from changeover.plan.segments import SegmentSpec, is_in

Context = Mapping[str, Any]
Predicate = Callable[[Context], bool]
Test = Callable[[Any], bool]
TARGETING_KEY = "targetingKey"
"""The user's key, as OpenFeature names it among the attributes."""
_ABSENT = object()


def segment(spec: SegmentSpec) -> Predicate:
    """Return whether a context is in a gateway's segment.

    The attribute is named as the header, or `cookie.NAME`, or `query.NAME`. As in the gateway, a
    header's name may be written `X-Cohort`, and the case of the value counts. One value of a list
    (a header that came more than once) is enough.
    """
    if spec.file is not None:
        _ = spec.users  # without them nothing can be answered, and that is said now
    wanted, is_header = spec.attribute, spec.header is not None
    size = len(wanted)

    def fits(context: Context) -> bool:
        value = context.get(wanted)
        # Perhaps with capitals; most names already differ in length.
        if value is None and is_header:
            for name in context:
                if name.__class__ is str and len(name) == size and name.lower() == wanted:
                    value = context[name]
        return is_in(spec, _texts(value))

    return fits


def _texts(value: Any) -> list[str]:
    """Return a header's values as text; anything but text and bytes is left out."""
    texts = []
    for part in value if isinstance(value, list | tuple) else [value]:
        if isinstance(part, bytes):
            part = part.decode("utf-8", "surrogateescape")
        if isinstance(part, str):
            texts.append(part.strip(BLANKS))
    return texts


def with_key(context: Context, key: Key | None, header: str) -> Context:
    """Return a context with the key as an attribute, named as the gateway's header and as in OFREP.

    Attributes of the context with these names do not count: there is only one key.
    """
    names = (header, TARGETING_KEY)
    lowered = {name.lower() for name in names}
    others = {}
    for name, value in context.items():
        if not (isinstance(name, str) and name.lower() in lowered):
            others[name] = value
    values = _texts(key)
    value = values if len(values) > 1 else "".join(values) or None
    return {**others, **dict.fromkeys(names, value)}


def attributes(specs: Mapping[str, AttributeSpec]) -> Predicate:
    """Return whether a context fits all the attributes."""
    return all_of([_attribute(name, spec) for name, spec in specs.items()])


def all_of(predicates: list[Predicate]) -> Predicate:
    """Return whether all fit; a single one is returned as it is."""
    if len(predicates) == 1:
        return predicates[0]
    return lambda context: all(fits(context) for fits in predicates)


def any_of(predicates: list[Predicate]) -> Predicate:
    """Return whether one fits; a single one is returned as it is."""
    if len(predicates) == 1:
        return predicates[0]
    return lambda context: any(fits(context) for fits in predicates)


def _attribute(name: str, spec: AttributeSpec) -> Predicate:
    plain = frozenset(value for value in spec.any_of or () if isinstance(value, str))
    careful = _carefully(name, spec)
    if not plain or spec != AttributeSpec(any_of=spec.any_of):
        return careful

    # The usual case, a text that is one of some texts, several times as fast.
    def fits(context: Context) -> bool:
        value = context.get(name)
        return value in plain if value.__class__ is str else careful(context)

    return fits


def _carefully(name: str, spec: AttributeSpec) -> Predicate:
    tests = _tests(spec)
    # A condition that only excludes holds for whoever does not have the attribute at all.
    is_only_excluding = not tests and spec.none_of is not None
    when_absent = spec.present is False or (spec.present is None and is_only_excluding)
    excluded = _one_of(spec.none_of or ())

    def fits(context: Context) -> bool:
        value = context.get(name, _ABSENT)
        if value is _ABSENT or value is None:
            return when_absent
        if spec.present is False or excluded(value):
            return False
        return all(test(value) for test in tests)

    return fits


def _tests(spec: AttributeSpec) -> list[Test]:
    """Return the tests that a value must pass when it is there."""
    tests = [] if spec.any_of is None else [_one_of(spec.any_of)]
    for prefix, test in ((spec.starts_with, str.startswith), (spec.ends_with, str.endswith)):
        if prefix is not None:
            tests.append(_text(test, prefix))
    if spec.contains is not None:
        tests.append(_contains(spec.contains))
    for bound, compare in (
        (spec.at_least, float.__ge__), (spec.at_most, float.__le__),
        (spec.above, float.__gt__), (spec.below, float.__lt__),
    ):
        if bound is not None:
            tests.append(_number(compare, bound))
    return tests


def _one_of(values: Iterable[bool | int | float | str]) -> Test:
    """Return whether a value, or an element of a list, is one of those; true is not 1."""
    known = frozenset(_typed(value) for value in values)

    def test(value: Any) -> bool:
        if isinstance(value, list | tuple):
            return any(_typed(element) in known for element in value)
        return _typed(value) in known

    return test


def _typed(value: Any) -> tuple[str, Any]:
    # Booleans first: in Python they are integers.
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, str):
        return "string", value
    if isinstance(value, int | float):
        return "number", value
    return "other", None


def _text(method: Callable[[str, str], bool], part: str) -> Test:
    return lambda value: isinstance(value, str) and method(value, part)


def _contains(part: str) -> Test:
    return lambda value: isinstance(value, str | list | tuple) and part in value


def _number(compare: Callable[[float, float], bool], bound: float) -> Test:
    def test(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        try:
            return compare(float(value), bound)
        except OverflowError:  # a whole number beyond every float
            return compare(float("inf") if value > 0 else float("-inf"), bound)

    return test
