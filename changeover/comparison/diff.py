"""Structured comparison of two documents: every place that differs, and their similarity. Pure.

The walk is a loop with a stack of its own, so that documents may be nested as deep as the parser
lets them. Equal parts are passed over at the speed of C: `==` finds them, and their serialised
forms prove that the types are equal too (`1 == True` in Python). Where no rule can hold, the walk
does not even ask the rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

import orjson

from changeover.comparison import align, leaves
from changeover.comparison.align import Alignment
from changeover.comparison.rules import NO_RULES, ArrayMode, Node, RuleSet
from changeover.comparison.similarity import (
    IDENTICAL,
    Comparison,
    Divergence,
    Kind,
    show,
    similarity_of,
)
from changeover.plan.paths import format_path

MOST_DIVERGENCES = 10_000
_MISSING: Final = type("Missing", (), {})()
_CONTAINERS = (dict, list)
_dumps = orjson.dumps
_new = tuple.__new__  # the named tuple's own is a third slower
_ADDED, _REMOVED = Kind.ADDED, Kind.REMOVED
Same = Callable[[Any, Any], bool]


def compare(
    baseline: Any, candidate: Any, rules: RuleSet = NO_RULES, *,
    most_divergences: int = MOST_DIVERGENCES,
) -> Comparison:
    """Compare two documents.

    Args:
        baseline: The baseline's document, as a JSON parser returns it.
        candidate: The candidate's.
        rules: What is allowed to differ.
        most_divergences: More than this are counted, not listed.

    Returns:
        Similarity 0..1 and the divergences. Total: no pair of JSON values raises.
    """
    try:
        walk = _walked(baseline, candidate, rules.root, most_divergences, _are_same)
    except (RecursionError, TypeError):  # nested too deep, or integers too long, for C
        walk = _walked(baseline, candidate, rules.root, most_divergences, _is_same)
    if not (walk.found or walk.ignored or walk.losses):
        return IDENTICAL
    return Comparison(
        similarity_of(walk.losses), tuple(walk.found), tuple(walk.ignored), walk.omitted
    )


def _walked(a: Any, b: Any, node: Node, most: int, same: Same) -> _Walk:
    walk = _Walk(most, same)
    if not same(a, b):
        walk.run(a, b, node)
    return walk


def _are_same(a: Any, b: Any) -> bool:
    """Whether two values are the same, types included; False for another order of keys.

    Raises:
        RecursionError: Nested too deep.
        TypeError: Nested too deep, or an integer beyond 64 bits.
    """
    if a != b:
        return False
    if type(a) not in _CONTAINERS:
        return type(a) is type(b)
    return _dumps(a) == _dumps(b)


def _is_same(a: Any, b: Any) -> bool:
    """Whether two values are the same, types included; False may mean: too deep to tell."""
    try:
        if a != b:
            return False
        if type(a) not in _CONTAINERS:
            return type(a) is type(b)
        return orjson.dumps(a) == orjson.dumps(b) or align.canonical(a) == align.canonical(b)
    except (RecursionError, TypeError):
        return False


_KEY_TEXT: dict[str, str] = {}


def _step(key: str) -> str:
    """Return a key as the step of a path; remembered, since the same keys come again and again."""
    found = _KEY_TEXT.get(key)
    if found is None:
        if len(_KEY_TEXT) > MOST_KEYS:
            _KEY_TEXT.clear()
        found = _KEY_TEXT[key] = format_path((key,))[1:]
    return found


MOST_KEYS = 10_000


class _Walk:
    """One comparison under way: what was lost, found and hidden so far."""

    __slots__ = ("_stack", "found", "ignored", "losses", "most", "omitted", "same")

    def __init__(self, most: int, same: Same) -> None:
        self.same = same
        self.losses: list[float] = []
        self.found: list[Divergence] = []
        self.ignored: list[Divergence] = []
        self.most = most
        self.omitted = 0
        self._stack: list[tuple[Any, Any, str, str, float, Node]] = []

    def run(self, a: Any, b: Any, node: Node) -> None:
        """Compare two values and everything below them."""
        self._visit(a, b, "$", "$", 1.0, node)
        self.drain()

    def drain(self) -> None:
        """Compare what still waits on the stack."""
        stack = self._stack
        while stack:
            a, b, path, name, weight, node = stack.pop()
            if type(a) is dict:
                if node.is_inert:
                    self._objects(a, b, path, name, weight, node)
                else:
                    self._ruled_objects(a, b, path, name, weight, node)
            else:
                self.pairs(a, b, _aligned(a, b, node, self.same), path, name, weight, node)

    def _visit(self, a: Any, b: Any, path: str, name: str, weight: float, node: Node) -> None:
        """Take two values that are not identical: containers later, leaves at once."""
        rule = node.rule
        if rule.ignore:
            self._hide(a, b, path, name, weight)
        elif type(a) is type(b) and type(a) in _CONTAINERS:
            self._stack.append((a, b, path, name, weight, node))
        elif a is _MISSING or b is _MISSING:
            if not (rule.null_equals_missing and (a is None or b is None)):
                self._lose(_kind(a, b), a, b, path, name, weight)
        else:
            share = leaves.loss(a, b, rule)
            if share:
                kind = Kind.TYPE if leaves.is_type_change(a, b, rule) else Kind.CHANGED
                self._lose(kind, a, b, path, name, weight * share)

    def _objects(
        self, a: dict[str, Any], b: dict[str, Any], path: str, name: str, weight: float,
        node: Node,
    ) -> None:
        """Compare two objects where no rule can hold."""
        is_alike = a.keys() == b.keys()
        share = weight / (len(a) if is_alike else len(a.keys() | b.keys()))
        other, same, is_quick = b.get, self.same, self.same is _are_same
        for key, x in a.items():
            y = other(key, _MISSING)
            kind = type(x)
            if kind is type(y):
                if kind is dict or kind is list:
                    # _are_same, written out: this line runs for every object of every answer
                    if (x != y or _dumps(x) != _dumps(y)) if is_quick else not same(x, y):
                        step = _step(key)
                        self._stack.append((x, y, path + step, name + step, share, node))
                elif x != y:
                    step = _step(key)
                    self._lose(Kind.CHANGED, x, y, path + step, name + step, share)
            else:
                step = _step(key)
                self._lose(_kind(x, y), x, y, path + step, name + step, share)
        if not is_alike:
            for key in b.keys() - a.keys():
                step = _step(key)
                self._lose(Kind.ADDED, None, b[key], path + step, name + step, share)

    def _ruled_objects(
        self, a: dict[str, Any], b: dict[str, Any], path: str, name: str, weight: float,
        node: Node,
    ) -> None:
        """Compare two objects under rules; keys that only the candidate has come last."""
        added = [key for key in b if key not in a]
        share = weight / (len(a) + len(added))
        for key in [*a, *added]:
            x, y = a.get(key, _MISSING), b.get(key, _MISSING)
            if not self.same(x, y):
                step = _step(key)
                self._visit(x, y, path + step, name + step, share, node.child(key))

    def pairs(
        self, a: list[Any], b: list[Any], found: Alignment, path: str, name: str, weight: float,
        node: Node,
    ) -> None:
        """Compare two lists' items as they were paired."""
        size = found.size
        if not size:
            return
        share = weight / size
        if found.is_reordered:
            lost = share * (len(found.removed) + len(found.added))
            lost = lost or share * sum(not self.same(a[i], b[j]) for i, j in found.pairs)
            self._lose(Kind.ORDER, a, b, path, name, lost)
            return
        below = name + "[*]"
        for i, j in found.pairs:
            x, y = a[i], b[j]
            if node.is_inert and type(x) is dict and type(y) is dict:
                if x != y or not self.same(x, y):
                    self._stack.append((x, y, f"{path}[{i}]", below, share, node))
            elif not self.same(x, y):
                self._visit(x, y, f"{path}[{i}]", below, share, node.child(i))
        for i in found.removed:
            self._visit(a[i], _MISSING, f"{path}[{i}]", below, share, node.child(i))
        for j in found.added:
            self._visit(_MISSING, b[j], f"{path}[{j}]", below, share, node.child(j))

    def _lose(self, kind: Kind, a: Any, b: Any, path: str, name: str, weight: float) -> None:
        self.losses.append(weight)
        if len(self.found) < self.most:
            self.found.append(_new(Divergence, (
                path, name, kind, None if kind is _ADDED else show(a),
                None if kind is _REMOVED else show(b), weight,
            )))
        else:
            self.omitted += 1

    def _hide(self, a: Any, b: Any, path: str, name: str, weight: float) -> None:
        if len(self.ignored) < self.most:
            kind = _kind(a, b)
            self.ignored.append(Divergence(
                path, name, kind, None if kind is Kind.ADDED else show(a),
                None if kind is Kind.REMOVED else show(b), weight,
            ))


def _kind(a: Any, b: Any) -> Kind:
    if a is _MISSING:
        return Kind.ADDED
    if b is _MISSING:
        return Kind.REMOVED
    return Kind.CHANGED if type(a) is type(b) else Kind.TYPE


def _aligned(a: list[Any], b: list[Any], node: Node, same: Same) -> Alignment:
    """Pair two lists' items as the rule at their place says."""
    mode = node.rule.array or ArrayMode.SEQUENCE
    if mode is ArrayMode.KEYED:
        found = align.by_key(a, b, node.rule.key or "id")
        return _without_equal(a, b, found, same) if found else _in_sequence(a, b, node, same)
    if mode is ArrayMode.POSITIONAL:
        found = align.in_place(len(a), len(b))
        return found._replace(is_reordered=align.is_permutation(*_forms(a, b, node)))
    if mode is ArrayMode.SEQUENCE:
        return _in_sequence(a, b, node, same)
    pair = align.as_unique if mode is ArrayMode.UNIQUE else align.as_set

    def may_pair(i: int, j: int) -> bool:
        is_container = type(a[i]) is type(b[j]) and type(a[i]) in _CONTAINERS
        return is_container or not leaves.loss(a[i], b[j], node.child(i).rule)

    return pair(*_forms(a, b, node), may_pair=may_pair)


def _without_equal(a: list[Any], b: list[Any], found: Alignment, same: Same) -> Alignment:
    """Return an alignment whose pairs all differ; the others are only counted."""
    ours, theirs = [a[i] for i, _ in found.pairs], [b[j] for _, j in found.pairs]
    pairs = [found.pairs[n] for n in _differing(ours, theirs, same)]
    return found._replace(pairs=pairs, equal=len(found.pairs) - len(pairs))


def _forms(a: list[Any], b: list[Any], node: Node) -> tuple[list[bytes], list[bytes]]:
    return align.hashes(a, node), align.hashes(b, node)


def _in_sequence(a: list[Any], b: list[Any], node: Node, same: Same) -> Alignment:
    """Align by the raw items; where rules hold also as they see them: the better one counts."""
    raw = _without_rules(a, b, same)
    if node.is_inert:
        return raw
    others = [align.in_sequence(*_forms(a, b, node)), align.in_place(len(a), len(b))]
    best, least = raw, None
    for other in others:
        if other.pairs != best.pairs or other.is_reordered != best.is_reordered:
            least = _cost(a, b, best, node, same) if least is None else least
            cost = _cost(a, b, other, node, same)
            if cost < least:
                best, least = other, cost
    return best


def _without_rules(a: list[Any], b: list[Any], same: Same) -> Alignment:
    """Align equal-length lists in place when that is a longest common subsequence already.

    It surely is when no differing item of one list is among the differing items of the other.
    """
    if len(a) != len(b):
        return align.in_sequence(align.hashes(a, None), align.hashes(b, None))
    differing = _differing(a, b, same)
    in_place = Alignment([(i, i) for i in differing], [], [], equal=len(a) - len(differing))
    if not differing or _are_told_apart(a, b, differing):
        return in_place
    forms = align.hashes([a[i] for i in differing], None)
    if set(forms).isdisjoint(align.hashes([b[i] for i in differing], None)):
        return in_place
    left, right = align.hashes(a, None), align.hashes(b, None)
    found = align.in_sequence(left, right)
    matches = sum(left[i] == right[j] for i, j in found.pairs)
    return found if found.is_reordered or matches > in_place.equal else in_place


def _differing(a: list[Any], b: list[Any], same: Same) -> list[int]:
    """Return at which indexes two lists of one length differ, types included."""
    if same is _are_same:
        unequal = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
        left = set(unequal)
        # the types of all the others at once: that is much faster than one by one
        rest = [[x for i, x in enumerate(side) if i not in left] for side in (a, b)]
        if _dumps(rest[0]) == _dumps(rest[1]):
            return unequal
    return [i for i, x in enumerate(a) if not same(x, b[i])]


def _are_told_apart(a: list[Any], b: list[Any], differing: list[int]) -> bool:
    """Whether a field has the same value on both sides of each pair, and no value twice.

    Then no item can equal one of another pair, and nothing has to be serialised to know it.
    """
    first = a[differing[0]]
    if type(first) is not dict:
        return False
    for key in islice(first, 3):
        try:
            values = [a[i][key] for i in differing]
            if values == [b[i][key] for i in differing] and len(set(values)) == len(values):
                return True
        except (KeyError, TypeError, IndexError):  # not in every item, or nothing to hash
            continue
    return False


def _cost(a: list[Any], b: list[Any], found: Alignment, node: Node, same: Same) -> float:
    """Return the share of a list's weight that an alignment loses."""
    walk = _Walk(0, same)
    walk.pairs(a, b, found, "$", "$", 1.0, node)
    walk.drain()
    return math.fsum(walk.losses)
