"""A plan's comparison rules, compiled. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import date

from changeover.comparison.rules import ArrayMode, Rule, RuleSet, merge
from changeover.plan.comparing import (
    ArraySpec,
    ComparisonSpec,
    NumericTolerance,
    RuleSpec,
    TextTolerance,
)


def rules_of(spec: ComparisonSpec | None, *, today: date) -> RuleSet:
    """Return the rules that are in force today; expired ones are not.

    Args:
        spec: The plan's `comparison`; None compares strictly.
        today: The present day.
    """
    return RuleSet(_pairs(spec, today)) if spec else RuleSet()


def _pairs(spec: ComparisonSpec, today: date) -> Iterator[tuple[str, Rule]]:
    for path in spec.ignore:
        yield path, Rule(ignore=True)
    for path, numeric in spec.numeric.items():
        yield path, _numeric(numeric)
    for path, text in spec.text.items():
        yield path, _text(text)
    for path, array in spec.arrays.items():
        yield path, _array(array)
    # Rules with a date are exceptions for a time: forgotten ones must not hide things for ever.
    for rule in spec.rules:
        if rule.expires is None or rule.expires > today:
            yield rule.path, _long_form(rule)


def _numeric(spec: NumericTolerance) -> Rule:
    return Rule(
        absolute=spec.absolute, relative=spec.relative, digits=spec.digits,
        decimals=spec.decimals)


def _text(spec: TextTolerance) -> Rule:
    replacements = [(each.pattern, each.by) for each in spec.replace]
    return Rule(
        cer=spec.cer, wer=spec.wer, ignore_case=spec.ignore_case,
        ignore_whitespace=spec.ignore_whitespace, unicode=spec.unicode,
        replace=tuple(replacements),
    )


def _array(spec: ArraySpec) -> Rule:
    return Rule(array=ArrayMode(spec.mode), key=spec.key)


def _long_form(spec: RuleSpec) -> Rule:
    own = Rule(
        ignore=spec.ignore, is_type_tolerant=spec.type_tolerant,
        null_equals_missing=spec.null_equals_missing,
        seconds=spec.within.total_seconds() if spec.within is not None else None,
    )
    parts = [own, _numeric(spec), _text(spec)]
    if spec.array:
        parts.append(_array(spec.array))
    return functools.reduce(merge, parts)
