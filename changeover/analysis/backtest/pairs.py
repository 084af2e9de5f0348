"""Which check of a plan is which of a stored verdict. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from changeover.plan.conditions import CheckSpec

Stored = Mapping[str, Any]
"""The evidence of one check, as `CheckResult.as_evidence` gave it."""


def as_stored(check: CheckSpec) -> dict[str, Any]:
    """Return a check as it stands in a verdict's evidence."""
    return check.model_dump(mode="json", exclude_defaults=True)


def is_same(stored: Stored, check: CheckSpec) -> bool:
    """Whether a plan asks exactly what was asked."""
    return bool(stored.get("check") == as_stored(check))


def pairs(
    stored: Sequence[Stored], checks: Sequence[CheckSpec]
) -> list[tuple[Stored | None, CheckSpec | None]]:
    """Return each check with the stored one that it stands for; None where there is no other.

    The same question comes first, then one of the same kind about the same number, then one about
    the same number. The order is the plan's; what the plan dropped comes last.
    """
    left, found = list(stored), dict[int, Stored]()
    # The whole plan by the strictest rule first: an equal check must not be taken by another.
    for is_pair in (is_same, _is_same_kind, _is_same_number):
        for number, check in enumerate(checks):
            if number in found:
                continue
            match = _first(left, check, is_pair)
            if match is not None:
                found[number] = match
                left.remove(match)
    asked: list[tuple[Stored | None, CheckSpec | None]] = []
    for number, check in enumerate(checks):
        asked.append((found.get(number), check))
    for each in left:
        asked.append((each, None))
    return asked


def _first(
    stored: Sequence[Stored], check: CheckSpec, is_pair: Callable[[Stored, CheckSpec], bool]
) -> Stored | None:
    for each in stored:
        if is_pair(each, check):
            return each
    return None


def _number(check: CheckSpec) -> tuple[str, str, str | None, str | None]:
    return check.measured.name, check.of, check.path, check.part


def _is_same_number(stored: Stored, check: CheckSpec) -> bool:
    # Evidence from before a check was stored with it.
    if "check" not in stored:
        return False
    return _number(CheckSpec.model_validate(stored["check"])) == _number(check)


def _is_same_kind(stored: Stored, check: CheckSpec) -> bool:
    if not _is_same_number(stored, check):
        return False
    known = CheckSpec.model_validate(stored["check"])
    return _kind(known) == _kind(check)


def _kind(check: CheckSpec) -> tuple[bool, bool, str]:
    return check.is_sequential, check.is_by_minutes, check.bound_name
