"""Which of a plan's rules apply at a place, and who wrote them: shown beside the findings. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from changeover.plan.comparing import ComparisonSpec, RuleSpec
from changeover.plan.paths import (
    ROOT,
    Step,
    Token,
    Wild,
    fits,
    is_in_body,
    parse_pattern,
    parse_place,
)

_WHO = {"path", "owner", "reason", "expires"}


@dataclass(frozen=True, slots=True)
class RuleInWords:
    """A rule in words, the pattern where it applies, and whether it applies below, too."""

    text: str
    steps: tuple[Step, ...]
    is_below: bool = False

    def applies_at(self, place: Sequence[Token | Wild]) -> bool:
        """Whether the rule applies at a place, given by its steps."""
        active = {0}
        for token in place:
            if self.is_below and len(self.steps) in active:
                return True
            active = {after for at in active for after in self._after(at, token)}
        return len(self.steps) in active

    def _after(self, at: int, token: Token | Wild) -> set[int]:
        if at == len(self.steps):
            return set()
        step = self.steps[at]
        is_there = fits(step.token, token) or (
            token is Wild.ANY and isinstance(step.token, int))
        is_on_the_way = step.is_deep and token is not ROOT
        return ({at} if is_on_the_way else set()) | ({at + 1} if is_there else set())


def rules_in_words(spec: ComparisonSpec | None, *, today: date) -> list[RuleInWords]:
    """Return the rules that apply today, in words."""
    if spec is None:
        return []
    found = [RuleInWords(f"ignore: {path}", parse_pattern(path), is_below=True)
             for path in spec.ignore]
    for name in ("numeric", "text", "arrays"):
        for path in getattr(spec, name):
            found.append(RuleInWords(f"{name}: {path}", parse_pattern(path)))
    for rule in spec.rules:
        if rule.expires is None or rule.expires > today:
            found.append(_long_form(rule))
    return found


def at_place(rules: Sequence[RuleInWords], place: str) -> tuple[str, ...]:
    """Return the rules that apply at a normalised place, in words."""
    if not is_in_body(place):
        return ()
    steps = parse_place(place)
    return tuple(rule.text for rule in rules if rule.applies_at(steps))


def _long_form(rule: RuleSpec) -> RuleInWords:
    what = ", ".join(
        name for name, part in RuleSpec.model_fields.items()
        if name not in _WHO and getattr(rule, name) != part.get_default())
    said = ": ".join(part for part in (rule.owner, rule.reason) if part)
    until = f"until {rule.expires}" if rule.expires else ""
    who = ", ".join(part for part in (said, until) if part)
    return RuleInWords(
        f"{what}: {rule.path}" + (f" ({who})" if who else ""), parse_pattern(rule.path),
        is_below=rule.ignore or rule.type_tolerant or rule.null_equals_missing)
