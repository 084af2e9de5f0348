"""What a check of a mean must say, so that evidence can judge it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from changeover.plan.metrics import QUALITY

if TYPE_CHECKING:
    from changeover.plan.conditions import CheckSpec
    from changeover.plan.model import Plan


# evidence has an end only where some harm is allowed
_UNSHOWN = "that the candidate is no worse at all cannot be shown"


def means_by_threshold(plan: Plan) -> list[str]:
    """Return the checks of means that two values alone decide, for want of a range, as sentences.

    Args:
        plan: The plan.
    """
    found = []
    for gate, checks in plan.gates.items():
        for check in checks:
            if _is_by_two_values(check):
                found.append(
                    f"gate {gate}: {check.metric} is compared with the baseline "
                    "by two means alone, which differ by chance; give `range`, "
                    "the lowest and the highest value that count, "
                    "so that evidence decides, or say `test: threshold`")
    return found


def _is_by_two_values(check: CheckSpec) -> bool:
    """Whether two means decide though nobody said so."""
    # who says `test: threshold` knows it
    is_untold = check.is_to_baseline and check.test is None
    is_quality = check.metric.startswith(QUALITY)
    return is_untold and is_quality and not check.is_sequential


def check_mean(check: CheckSpec) -> None:
    """Refuse a check of a mean by evidence that has no answer, and `range` where it means nothing.

    Raises:
        ValueError: With what is allowed.
    """
    if check.range is not None:
        _check_range(check, check.range)
    if not check.is_of_mean:
        return
    if check.metric.startswith(QUALITY) and check.range is None:
        raise ValueError(
            f"`test: sequential` with {check.metric} needs `range`: "
            "the lowest and the highest value that count, such as [0, 1]; "
            "or set `test: threshold`")
    if check.direction == "either":
        raise ValueError(
            "`direction` of a mean by evidence must be increase or decrease; "
            "make two checks for both")
    _check_margin(check)


def _check_range(check: CheckSpec, values: list[float]) -> None:
    low, high = values
    if not check.metric.startswith(QUALITY) or not check.is_sequential:
        raise ValueError(
            "`range` works with outcome.NAME only, compared with the "
            "baseline by evidence (not with `test: threshold`)")
    if low >= high:
        raise ValueError(f"range {values}: the first value must be the lower one")
    if check.bound_name == "ratio_to_baseline" and low < 0:
        raise ValueError(
            f"range {values}: a ratio of values below 0 means nothing; "
            "begin the range at 0 or above, or give difference_to_baseline")
    bound = check.bound_values[0]
    if check.bound_name != "ratio_to_baseline" and bound >= high - low:
        raise ValueError(
            f"difference_to_baseline {bound:g} is as wide as the "
            f"range {values}, so that it would never fail; allow less")


def _check_margin(check: CheckSpec) -> None:
    bound, is_falling = check.bound_values[0], check.direction == "decrease"
    if check.bound_name != "ratio_to_baseline":
        if bound <= 0:
            text = f"difference_to_baseline {bound:g} can never pass: " \
                f"{_UNSHOWN}; allow some margin, above 0"
            if is_falling:
                text += ": with `direction: decrease` it says how much lower"
            raise ValueError(text)
    elif is_falling and bound >= 1:
        raise ValueError(
            f"ratio_to_baseline {bound:g} can never pass with "
            "`direction: decrease`: it is the least that is allowed; "
            "set it below 1, such as 0.95")
    elif not is_falling and bound <= 1:
        raise ValueError(
            f"ratio_to_baseline {bound:g} can never pass: {_UNSHOWN}; "
            "allow some margin, above 1, or set `test: threshold`; "
            "where a lower value is worse, `direction: decrease`")
