"""Which rules hold at which place of a document. Pure.

The patterns of all rules are one automaton over the steps of a document: a `Node` knows the rule
that holds here and the node of each child. Nodes are made when they are first needed and cached, so
that following a document costs one dictionary lookup a step, and nothing where no rule can match.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import Any, Literal

from changeover.plan.paths import ROOT, Name, Step, Token, Wild, fits, parse_pattern

UnicodeForm = Literal["NFC", "NFD", "NFKC", "NFKD"]


class ArrayMode(StrEnum):
    """How the items of two lists are brought together."""

    SEQUENCE = "sequence"  # in order; insertions and removals are found
    POSITIONAL = "positional"  # first with first, second with second
    SET = "set"  # order does not matter; duplicates count
    UNIQUE = "unique"  # order and duplicates do not matter
    KEYED = "keyed"  # by the value of a field


@dataclass(frozen=True, slots=True)
class Rule:
    """What is allowed to differ at one place; the default allows nothing.

    `absolute` and `relative` are numeric tolerances (|a-b| ≤ absolute, or ≤ relative·max(|a|,|b|));
    `digits` compares rounded to so many significant digits, `decimals` to so many decimal places;
    `seconds` is the tolerance of dates; `cer` and `wer` are error rates in 0..1; `replace` are
    pairs of regular expression and replacement (`plan.expressions`), applied to strings before they
    are compared.
    Type tolerance, null as missing, and selection hold for everything below the place too.
    """

    ignore: bool = False
    absolute: float | None = None
    relative: float | None = None
    digits: int | None = None
    decimals: int | None = None
    is_type_tolerant: bool = False
    null_equals_missing: bool = False
    ignore_case: bool = False
    ignore_whitespace: bool = False
    unicode: UnicodeForm | None = None
    seconds: float | None = None
    cer: float | None = None
    wer: float | None = None
    replace: tuple[tuple[str, str], ...] = ()
    array: ArrayMode | None = None
    key: str | None = None
    is_selected: bool = False

    @property
    def has_string_form(self) -> bool:
        """Whether strings are brought into another form before they are compared."""
        return bool(self.ignore_case or self.ignore_whitespace or self.unicode or self.replace)

    @property
    def is_inherited(self) -> bool:
        """Whether some of it holds for everything below the place, too."""
        return any(getattr(self, name) for name in _INHERITED)

    @property
    def is_numeric(self) -> bool:
        """Whether numbers may be apart."""
        bounds = (self.absolute, self.relative, self.digits, self.decimals)
        return bounds != (None, None, None, None)


STRICT = Rule()
_INHERITED = ("is_type_tolerant", "null_equals_missing", "is_selected")


def merge(first: Rule, second: Rule) -> Rule:
    """Return a rule that allows what either allows; of two values of one kind the second's."""
    changes = {}
    for part in fields(Rule):
        value = getattr(second, part.name)
        if value != part.default:
            changes[part.name] = value
    if first.replace and second.replace:
        changes["replace"] = first.replace + second.replace
    return replace(first, **changes)


_Active = frozenset[tuple[int, int]]
"""Rules under way: (number of the rule, number of its steps that have matched)."""


@dataclass(slots=True)
class Node:
    """A place's rule, and the way to its children's.

    `is_inert` says that no rule holds here or anywhere below: only identity counts;
    `is_keyed_only` that items are paired by a field, and no rule holds for anything in them.
    """

    rule: Rule
    is_inert: bool
    is_keyed_only: bool
    _rules: RuleSet
    _active: _Active
    _children: dict[Token | Wild, Node] = field(default_factory=dict)

    def child(self, token: Token) -> Node:
        """Return the node of a child."""
        if self.is_inert:
            return self
        found = self._children.get(token)
        if found is None:
            found = self._unknown(token)
            # Documents may have keys of their own each; the cache must not grow by them.
            if len(self._children) > LARGEST_NODE:
                self._children.clear()
            self._children[token] = found
        return found

    def _unknown(self, token: Token) -> Node:
        """Return the node of a child that was not met yet; those that no rule names share one."""
        named = self._rules.named
        if token in named or (type(token) is Name and token.local in named):
            return self._rules.follow(self._active, self.rule, token)
        shared = token.kind if type(token) is Name else Wild.ANY
        other = self._children.get(shared)
        if other is None:
            other = self._children[shared] = self._rules.follow(self._active, self.rule, token)
        return other


LARGEST_NODE = 10_000


class RuleSet:
    """Compiled rules.

    Args:
        rules: Pairs of pattern and rule; later ones add to earlier ones at the same place.
        only: Patterns of the only places that are compared; everything, when empty.

    Raises:
        ValueError: A pattern is not understood.
    """

    def __init__(
        self, rules: Iterable[tuple[str, Rule]] = (), *, only: Iterable[str] = ()
    ) -> None:
        given = [*rules, *((pattern, _SELECTED) for pattern in only)]
        self._rules: list[tuple[tuple[Step, ...], Rule]] = []
        for pattern, rule in given:
            self._rules += _parts(parse_pattern(pattern), rule)
        self.named: set[Token | Wild] = set()
        self.is_type_tolerant = False
        self._selecting: set[int] = set()
        for number, (steps, rule) in enumerate(self._rules):
            self.named.update(step.token for step in steps)
            self.is_type_tolerant |= rule.is_type_tolerant
            if rule is _SELECTED:
                self._selecting.add(number)
        self._nodes: dict[tuple[_Active, Rule], Node] = {}
        start = frozenset((number, 0) for number in range(len(self._rules)))
        self.root = self._node(start, STRICT)

    def follow(self, active: _Active, above: Rule, token: Token) -> Node:
        """Return the node that a step leads to."""
        after = set()
        for number, matched in active:
            steps = self._rules[number][0]
            if matched == len(steps):
                continue
            step = steps[matched]
            # `..` may begin at any depth: it waits for its step here and further down.
            if step.is_deep and token is not ROOT:
                after.add((number, matched))
            if fits(step.token, token):
                after.add((number, matched + 1))
        inherited: dict[str, Any] = {}
        for name in _INHERITED:
            if getattr(above, name):
                inherited[name] = True
        return self._node(frozenset(after), replace(STRICT, **inherited))

    def _node(self, active: _Active, rule: Rule) -> Node:
        # In the plan's order: of two rules about the same thing the later one counts.
        for number, matched in sorted(active):
            steps, own = self._rules[number]
            if matched == len(steps):
                rule = merge(rule, own)
        if self._selecting and not rule.is_selected and not self._may_select(active):
            rule = replace(rule, ignore=True)
        key = (active, rule)
        if key not in self._nodes:
            is_inert = rule == STRICT and not active
            is_keyed_only = (
                rule.array is ArrayMode.KEYED and not rule.is_inherited and not rule.ignore
                and not self._selecting and self._ends_here(active))
            self._nodes[key] = Node(rule, is_inert, is_keyed_only, self, active)
        return self._nodes[key]

    def _ends_here(self, active: _Active) -> bool:
        """Whether no rule has a step left: none holds for anything below."""
        return all(matched == len(self._rules[number][0]) for number, matched in active)

    def _may_select(self, active: _Active) -> bool:
        """Whether something below can still be one of the places that are compared."""
        return any(number in self._selecting for number, _ in active)


def _parts(steps: tuple[Step, ...], rule: Rule) -> list[tuple[tuple[Step, ...], Rule]]:
    """Return where a rule holds: how elements are paired is a rule for all of one name together."""
    if rule.array is None or steps[:1] != (Step(ROOT),) or steps[-1].token is not Wild.ANY:
        return [(steps, rule)]
    pairing = Rule(array=rule.array, key=rule.key)
    return [(steps[:-1], pairing), (steps, replace(rule, array=None, key=None))]


_SELECTED = Rule(is_selected=True)
NO_RULES = RuleSet()
