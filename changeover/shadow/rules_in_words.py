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
            after: set[int] = set()
            for at in active:
                after |= self._after(at, token)
            active = after
        return len(self.steps) in active

    def _after(self, at: int, token: Token | Wild) -> set[int]:
        if at == len(self.steps):
            return set()
        step = self.steps[at]
        # Places are stored with `[*]`: a rule for `[3]` may hold for one of them.
        is_one_of = token is Wild.ANY and isinstance(step.token, int)
        found = set()
        if step.is_deep and token is not ROOT:
            found.add(at)
        if is_one_of or fits(step.token, token):
            found.add(at + 1)
        return found


def rules_in_words(spec: ComparisonSpec | None, *, today: date) -> list[RuleInWords]:
    """Return the rules that apply today, in words."""
    if spec is None:
        return []
    found = []
    for path in spec.ignore:
        found.append(RuleInWords(f"ignore: {path}", parse_pattern(path), is_below=True))
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
    words = []
    for name, part in RuleSpec.model_fields.items():
        # What the plan does not say is not shown.
        if name not in _WHO and getattr(rule, name) != part.get_default():
            words.append(name)
    said = ": ".join(filter(None, (rule.owner, rule.reason)))
    until = f"until {rule.expires}" if rule.expires else ""
    who = ", ".join(filter(None, (said, until)))
    text = f"{', '.join(words)}: {rule.path}"
    if who:
        text += f" ({who})"
    is_below = rule.ignore or rule.type_tolerant or rule.null_equals_missing
    return RuleInWords(text, parse_pattern(rule.path), is_below=is_below)
