"""Changes of a flag by hand: to a value for everyone, to a percentage of users. Pure."""

from __future__ import annotations

from typing import Any

from changeover.errors import InvalidInput
from changeover.flags.evaluate import fixed
from changeover.plan.flags import (
    DISABLED,
    ENABLED,
    Entry,
    FlagSpec,
    Kind,
    RuleSpec,
    as_document,
    as_spec,
    from_document,
    kind_of,
)
from changeover.plan.units import parse_percent


def with_value(name: str, present: Entry | None, value: Any) -> Entry:
    """Return a flag with `value` for everyone and without rules.

    Args:
        name: The flag, for messages.
        present: What it is now; None for a new one.
        value: The value.

    Raises:
        InvalidInput: The value is of another kind than the flag, or of no known kind.
    """
    try:
        kind = kind_of(value)
        document = value
        # An object would be read as the flag's own definition; as a variant it is a value.
        if kind is Kind.OBJECT:
            document = {"variants": {"by_hand": value}, "default": "by_hand"}
        entry = from_document(document)
    except ValueError as error:
        raise InvalidInput(f"flag {name}: {_sentence(error)}") from None
    if present is None or (not isinstance(present, FlagSpec) and kind_of(present) is kind):
        return entry
    spec = as_spec(present)
    if spec.kind is not kind:
        raise InvalidInput(
            f"{value!r} is a {kind}, flag {name} is a {spec.kind}", allowed=f"a {spec.kind}")
    return FlagSpec.model_validate(as_document(fixed(spec, value)))


def with_percent(
    name: str, present: Entry, percent: str, variant: str | None = None
) -> FlagSpec:
    """Return a flag that a percentage of users gets a variant of; other rules stay.

    The percentage is of all users: a rule for a segment or for attributes is another rule.

    Args:
        name: The flag, for messages.
        present: What it is now.
        percent: Share of users, as `25` or `0.5%`.
        variant: Which variant; None for the only one besides the default.

    Raises:
        InvalidInput: The percentage or the variant does not fit, or the migration decides.
    """
    spec = as_spec(present)
    if spec.mirrors is not None:
        raise InvalidInput(f"flag {name} mirrors the migration: its share is the routing's",
                           next_step="Use `changeover advance --percent N`")
    try:
        share = parse_percent(percent)
    except ValueError as error:
        raise InvalidInput(str(error), where="PERCENT") from None
    chosen = _chosen(name, spec, variant)
    # A plain `true` would stay true for everyone else: who names a share wants it off for them.
    is_plain = not spec.variants and not spec.rules
    default = DISABLED if is_plain and chosen == ENABLED else spec.default
    rules = list(spec.rules)
    for index, rule in enumerate(rules):
        is_of_all_users = rule.percent is not None and not rule.segments and not rule.when
        if is_of_all_users and rule.variant == chosen:
            rules[index] = rule.model_copy(update={"percent": share})
            break
    else:
        rules.append(RuleSpec(variant=chosen, percent=share))
    return spec.model_copy(update={"rules": rules, "default": default})


def _chosen(name: str, spec: FlagSpec, variant: str | None) -> str:
    if variant is None and not spec.variants:
        return ENABLED
    # With two variants there is no question which one a percentage is about.
    others = [one for one in spec.choices if one != spec.fallback]
    if variant is None and len(others) != 1:
        raise InvalidInput(f"flag {name} has {len(others)} variants besides its default",
                           allowed=", ".join(others) or "none", next_step="Name one of them")
    chosen = variant or others[0]
    if chosen not in spec.choices:
        raise InvalidInput(f"flag {name} has no variant {chosen!r}",
                           allowed=", ".join(spec.choices))
    return chosen


def _sentence(error: ValueError) -> str:
    """Return the last line of an error, without the library's jargon."""
    for line in reversed(str(error).splitlines()):
        text = line.strip()
        if text and not text.startswith("For further information"):
            return text.removeprefix("Value error, ").split(" [type=")[0]
    return "there is no such value"
