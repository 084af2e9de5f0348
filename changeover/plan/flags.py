"""The flags of a plan: their variants, who gets which variant, and until when. Pure.

A flag is a plain value (`enable_ai_nodes: false`) that everyone gets, or a mapping with rules.
Evaluating them is `changeover.flags`; saving them, with history, is `changeover.store.flags`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Discriminator, Field, Tag, TypeAdapter, model_validator

from changeover.plan.fields import Name, Part, Percent

FlagKey = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,62}$")]
"""Safe in a URL's path, and wide enough for the names that code bases use."""
RESERVED = "changeover."
LARGEST_WHOLE = 2**53 - 1
"""Above it, other languages read a different number than was written."""
LARGEST_VARIANT = 16_384
VALUE_FORMS = "true, false, a number or text; for anything else write a mapping with `variants`"
ENABLED, DISABLED, ONLY = "enabled", "disabled", "value"

ModeName = Literal[
    "baseline_only", "shadow", "parallel", "gradual", "candidate_only", "returning",
    "emergency_rollback",
]
MODE_NAMES: tuple[str, ...] = get_args(ModeName)
LIKE_GRADUAL = "returning"
"""Without a variant of its own this mode has that of `gradual`: users are split in both."""
WRITTEN_MODES = tuple(mode for mode in MODE_NAMES if mode != LIKE_GRADUAL)


class Mirror(StrEnum):
    """Which state of the migration a flag copies, so that nobody maintains it twice."""

    SYSTEM = "system"  # the system that answers this user: `baseline` or `candidate`
    MODE = "mode"  # the mode's name
    PERCENT = "percent"  # the share of users on the candidate, 0 to 100
    MAINTENANCE = "maintenance"  # whether users are shut out now


class Kind(StrEnum):
    """What a flag's values are."""

    BOOLEAN = "boolean"
    STRING = "string"
    NUMBER = "number"
    OBJECT = "object"


def kind_of(value: object) -> Kind:
    """Return a value's kind; a list is an object, too.

    Raises:
        ValueError: No flag can have such a value.
    """
    # first: for Python, True is a number, too
    if isinstance(value, bool):
        return Kind.BOOLEAN
    if isinstance(value, str):
        return Kind.STRING
    if isinstance(value, int | float):
        return Kind.NUMBER
    if isinstance(value, dict | list):
        return Kind.OBJECT
    raise ValueError(f"{value!r} is not a flag's value; allowed are true, false, a number, text, "
                     "a list or a mapping")


def _value(value: object) -> object:
    """Return a value that reads the same in every language; raises ValueError for others."""
    kind = kind_of(value)
    if kind is Kind.NUMBER and not _is_exact(value):
        raise ValueError(f"{value!r} is not a number that every language can read; allowed are "
                         "finite numbers, whole ones up to 2^53 - 1")
    if kind is Kind.OBJECT:
        for part in value.values() if isinstance(value, dict) else value:  # type: ignore[attr-defined]
            _value(part)
        if isinstance(value, dict) and not all(isinstance(name, str) for name in value):
            raise ValueError("the names in an object must be text")
    if len(json.dumps(value)) > LARGEST_VARIANT:
        raise ValueError(f"a flag's value has at most {LARGEST_VARIANT} characters")
    return value


def _is_exact(number: object) -> bool:
    if isinstance(number, int):
        return abs(number) <= LARGEST_WHOLE
    return isinstance(number, float) and math.isfinite(number)


def _scalar(value: object) -> object:
    if not isinstance(value, bool | int | float | str):
        raise ValueError(f"{value!r} is not a flag's value; allowed are {VALUE_FORMS}")
    return _value(value)


FlagValue = Annotated[bool | int | float | str, BeforeValidator(_scalar)]
VariantValue = Annotated[Any, BeforeValidator(_value)]


class AttributeSpec(Part):
    """What an attribute of the context must be; all that is given must be true.

    `country: DE` and `country: [DE, AT]` are short for `any_of`. An attribute that is a list
    has a value when one of its elements is it.
    """

    any_of: list[FlagValue] | None = Field(None, min_length=1, max_length=1000)
    none_of: list[FlagValue] | None = Field(
        None, min_length=1, max_length=1000, description="Also true if the attribute is missing."
    )
    starts_with: str | None = Field(None, min_length=1)
    ends_with: str | None = Field(None, min_length=1)
    contains: str | None = Field(None, min_length=1)
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    present: bool | None = Field(None, description="Whether the attribute exists.")

    @model_validator(mode="after")
    def _says_something(self) -> AttributeSpec:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError(f"at least one is required of {', '.join(type(self).model_fields)}")
        return self


def _condition(value: object) -> object:
    if isinstance(value, list):
        return {"any_of": value}
    if isinstance(value, bool | int | float | str):
        return {"any_of": [value]}
    return value


Condition = Annotated[AttributeSpec, BeforeValidator(
    _condition, json_schema_input_type=AttributeSpec | list[FlagValue] | FlagValue)]
AttributeName = Annotated[str, Field(min_length=1, max_length=100)]
Attributes = Annotated[dict[AttributeName, Condition], Field(min_length=1, max_length=50)]


class RuleSpec(Part):
    """Who gets a variant: every condition must be met; the first rule that fits decides."""

    variant: Name
    segments: list[Name] = Field(default=[], description="Users in any of these segments.")
    when: Attributes | None = Field(None, description="Attributes that must all fit.")
    percent: Percent | None = Field(
        None, description="Share of users, by the gateway's buckets; none without a key."
    )

    def describe(self) -> str:
        """Return who the rule is for: `25 % of segment beta`."""
        who = [f"segment {' or '.join(self.segments)}"] if self.segments else []
        who += [f"attribute {name}" for name in self.when or {}]
        text = " and ".join(who) or "users"
        if self.percent is None:
            return text if who else "everyone"
        return f"{self.percent.normalize():f} % of {text}"


class FlagSpec(Part):
    """A flag with variants: what applications get, and who gets which.

    Without `variants` it is boolean, with `enabled` and `disabled`. A flag that mirrors the
    migration names its variants by what it mirrors (`baseline`, `candidate`, or modes).
    """

    description: str = Field("", max_length=500, description="What the flag does.")
    owner: str = Field("", max_length=100, description="Who is responsible for removing it.")
    expires: date | None = Field(None, description="Warn from this day on.")
    variants: dict[Name, VariantValue] = Field(default={}, max_length=100)
    default: Name | None = Field(None, description="Variant for users whom no rule fits.")
    rules: list[RuleSpec] = Field(default=[], max_length=100)
    in_modes: dict[ModeName, Name] = Field(
        default={}, description="Variant that everyone gets in a mode; rules do not apply."
    )
    mirrors: Mirror | None = Field(None, description="Copies this state of the migration.")

    @property
    def choices(self) -> dict[str, Any]:
        """Values by variant, with those that need not be written."""
        if self.variants:
            return _same_numbers(self.variants)
        if self.mirrors is Mirror.SYSTEM:
            return {"baseline": "baseline", "candidate": "candidate"}
        if self.mirrors is Mirror.MODE:
            return {mode: mode for mode in MODE_NAMES}
        return {} if self.mirrors is Mirror.PERCENT else {ENABLED: True, DISABLED: False}

    def shown_in(self, mode: str) -> str:
        """Return the name by which a flag that mirrors the mode shows it."""
        is_like_gradual = mode == LIKE_GRADUAL and mode not in self.choices
        return "gradual" if is_like_gradual else mode

    @property
    def fallback(self) -> str | None:
        """The variant of those whom no rule fits; None when something is always mirrored."""
        if self.default is None and self.mirrors is None and not self.variants:
            return DISABLED
        return self.default

    @property
    def kind(self) -> Kind:
        """What its values are."""
        return next((kind_of(value) for value in self.choices.values()), Kind.NUMBER)

    @model_validator(mode="after")
    def _fits_together(self) -> FlagSpec:
        for text in self._faults():
            raise ValueError(text)
        return self

    def _faults(self) -> Iterator[str]:
        choices = self.choices
        listed = ", ".join(choices) or "none"
        kinds = sorted({str(kind_of(value)) for value in choices.values()})
        if len(kinds) > 1:
            yield f"variants have different kinds: {', '.join(kinds)}; all must have the same"
        named = [self.default, *(rule.variant for rule in self.rules), *self.in_modes.values()]
        for name in named:
            if name is not None and name not in choices:
                yield f"variant {name!r} is not defined; defined are {listed}"
        if self.mirrors is None:
            if self.fallback is None:
                yield ("default is required: the variant for users whom no rule fits, "
                       f"one of {listed}")
        elif self.rules:
            yield "a flag that mirrors the migration cannot have rules; the routing decides"
        else:
            yield from self._mirror_faults(choices)

    def _mirror_faults(self, choices: Mapping[str, Any]) -> Iterator[str]:
        needed: tuple[str, ...] = {
            Mirror.SYSTEM: ("baseline", "candidate"), Mirror.MODE: WRITTEN_MODES,
            Mirror.MAINTENANCE: (ENABLED, DISABLED),
        }.get(self.mirrors, ())  # type: ignore[arg-type]
        if self.mirrors is Mirror.PERCENT and self.variants:
            yield "a flag that mirrors percent cannot have variants: its value is the number"
        missing = [name for name in needed if name not in choices]
        if missing and self.default is None:
            yield (f"variants {', '.join(missing)} are missing; define them, or set a default "
                   "for them")


def _same_numbers(variants: Mapping[str, Any]) -> dict[str, Any]:
    """Make all numbers floats when one is: clients in typed languages ask for one type."""
    if not any(isinstance(value, float) for value in variants.values()):
        return dict(variants)
    found = {}
    for name, value in variants.items():
        # for Python, True is a whole number
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        found[name] = float(value) if is_whole else value
    return found


def _form(entry: object) -> str:
    return "mapping" if isinstance(entry, dict | FlagSpec) else "scalar"


# the form is chosen first: else a mistake in a mapping would also be reported as "not text"
FlagEntry = Annotated[
    Annotated[FlagSpec, Tag("mapping")] | Annotated[FlagValue, Tag("scalar")],
    Discriminator(_form),
]
"""A flag as a plan writes it: a plain value, or a mapping."""
Entry = FlagSpec | bool | int | float | str
_ADAPTER: TypeAdapter[Entry] = TypeAdapter(FlagEntry)


def as_spec(entry: Entry) -> FlagSpec:
    """Return the full form of a flag; a plain value is the only variant, without rules."""
    if isinstance(entry, FlagSpec):
        return entry
    if isinstance(entry, bool):
        return FlagSpec(default=ENABLED if entry else DISABLED)
    return FlagSpec(variants={ONLY: entry}, default=ONLY)


def as_document(entry: Entry) -> Any:
    """Return a flag as JSON-able data that `from_document` reads."""
    if isinstance(entry, FlagSpec):
        return entry.model_dump(mode="json", exclude_defaults=True)
    return entry


def from_document(document: Any) -> Entry:
    """Return the flag that `as_document` wrote.

    Raises:
        pydantic.ValidationError: It is none.
    """
    return _ADAPTER.validate_python(document)


def plain_value(entry: Entry) -> Any:
    """Return the value of those whom no rule fits; None when the migration decides."""
    spec = as_spec(entry)
    return None if spec.fallback is None else spec.choices[spec.fallback]


def plan_faults(
    flags: Mapping[str, Entry], segments: Mapping[str, object],
    flag_segments: Mapping[str, object], fixed: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield (path, sentence) for what does not fit together across a plan's parts.

    Args:
        flags: The plan's flags.
        segments: The gateway's segments, by name.
        flag_segments: The flags' own segments, by name.
        fixed: Values that other parts of the plan set, by that part's name.
    """
    for name in flag_segments:
        if name in segments:
            yield ("flag_segments", name), f"{name} is also a segment of routing; rename one"
    known = [*segments, *flag_segments]
    for where, names in (("flags", flags), *fixed.items()):
        for key in names:
            if key.startswith(RESERVED):
                yield ((*where.split("."), key),
                       f"names that begin with {RESERVED} are reserved; choose another name")
    for key, entry in flags.items():
        yield from _rule_faults(key, as_spec(entry), known)
    for where, values in fixed.items():
        for key, value in values.items():
            if key in flags and kind_of(value) is not as_spec(flags[key]).kind:
                yield ((*where.split("."), key),
                       f"{value!r} is a {kind_of(value)}, flag {key} is a "
                       f"{as_spec(flags[key]).kind}")


def _rule_faults(
    key: str, spec: FlagSpec, known: list[str]
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for index, rule in enumerate(spec.rules):
        for segment in rule.segments:
            if segment not in known:
                yield (("flags", key, "rules", index, "segments"),
                       f"segment {segment!r} is not defined; defined are "
                       f"{', '.join(known) or 'none'}")
