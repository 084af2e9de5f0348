"""Structured comparison of two documents: every place that differs, and their similarity. Pure.

The walk is a loop with a stack of its own, so that documents may be nested as deep as the parser
lets them. Equal parts are passed over at the speed of C, in three steps of growing care:

1. `==` finds them. It overlooks types (`1 == True` in Python), so they are noted, and when the walk
   is over their serialised forms, all at once, prove that the types are equal too.
2. Without that proof somewhere a type differs: walk again, each part serialised by itself.
3. What cannot be serialised (too deep, or integers beyond 64 bits): walk with `is_same`.

Where no rule can hold, the walk does not even ask the rules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress, count
from operator import ne
from typing import Any

import orjson

from changeover.comparison import align, leaves
from changeover.comparison.align import Alignment
from changeover.comparison.json_text import as_json
from changeover.comparison.rules import NO_RULES, STRICT, ArrayMode, Node, RuleSet
from changeover.comparison.sameness import CONTAINERS, Same, are_same, is_same, trusting
from changeover.comparison.similarity import (
    IDENTICAL,
    MISSING,
    Comparison,
    Divergence,
    Kind,
    similarity_of,
)
from changeover.comparison.tables import Grid, grid_of, have_identity
from changeover.plan.paths import format_path

MOST_DIVERGENCES = 10_000
MANY_ROWS = 3
"""From so many on rows are compared all at once."""
MOST_REALIGNED = 10
"""Lists within lists that are paired as rules see them; deeper ones by their raw items."""
_dumps, _SORTED = orjson.dumps, orjson.OPT_SORT_KEYS
_new = tuple.__new__  # the named tuple's own is a third slower
_CHANGED = Kind.CHANGED


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
        walk = _Walk(most_divergences, are_same, is_trusting=not rules.is_type_tolerant)
        walk.run(baseline, candidate, rules.root)
        if not walk.is_proved():
            walk = _Walk(most_divergences, are_same)
            walk.run(baseline, candidate, rules.root)
    except (RecursionError, TypeError):  # nested too deep, or integers too long, for C
        walk = _Walk(most_divergences, is_same)
        walk.run(baseline, candidate, rules.root)
    if not (walk.found or walk.ignored or walk.losses):
        return IDENTICAL
    return Comparison(
        similarity_of(walk.losses), tuple(walk.found), tuple(walk.ignored), walk.omitted
    )


_STEPS: dict[str, str] = {}


def _step(key: str) -> str:
    """Return a key as the step of a path; remembered, since the same keys come again and again."""
    found = _STEPS.get(key)
    if found is None:
        if len(_STEPS) > MOST_KEYS:
            _STEPS.clear()
        found = _STEPS[key] = format_path((key,))[1:]
    return found


MOST_KEYS = 10_000


class _Walk:
    """One comparison under way: what was lost, found and hidden so far.

    A trusting walk takes what is `==` for the same, and is right when `is_proved` says so. An
    estimating one pairs the lists that it meets by the raw items alone.
    """

    __slots__ = ("_ours", "_stack", "_theirs", "found", "ignored", "is_careful", "is_estimating",
                 "is_trusting", "losses", "most", "omitted", "same")

    def __init__(
        self, most: int, same: Same, *, is_trusting: bool = False, is_estimating: bool = False
    ) -> None:
        self._ours: list[Any] = []  # taken for the same as its neighbour in _theirs
        self._theirs: list[Any] = []
        self.same = trusting(self._ours, self._theirs) if is_trusting else same
        self.is_careful = same is is_same
        self.is_trusting = is_trusting
        self.is_estimating = is_estimating
        self.losses: list[float] = []
        self.found: list[Divergence] = []
        self.ignored: list[Divergence] = []
        self.most = most
        self.omitted = 0
        self._stack: list[tuple[Any, Any, str, str, float, Node]] = []

    def run(self, a: Any, b: Any, node: Node) -> None:
        """Compare two values and everything below them."""
        if not self.same(a, b):
            self._visit(a, b, "$", "$", 1.0, node)
            self.drain()

    def is_proved(self) -> bool:
        """Whether the types of all that was trusted are the same, too."""
        ours, theirs = self._ours, self._theirs
        return (_dumps(ours, as_json) == _dumps(theirs, as_json)
                or _dumps(ours, as_json, _SORTED) == _dumps(theirs, as_json, _SORTED))

    def differing(self, a: Sequence[Any], b: Sequence[Any]) -> list[int]:
        """Return at which indexes two lists of one length differ."""
        if not self.is_trusting:
            return [i for i, x in enumerate(a) if not self.same(x, b[i])]
        unequal = [*compress(count(), map(ne, a, b))]
        ours, theirs = [*a], [*b]
        for i in unequal:
            ours[i] = theirs[i] = None
        self._ours.append(ours)
        self._theirs.append(theirs)
        return unequal

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
            elif not self._are_rows(a, b, path, name, weight, node):
                self.pairs(a, b, _aligned(a, b, name, node, self), path, name, weight, node)

    def _visit(self, a: Any, b: Any, path: str, name: str, weight: float, node: Node) -> None:
        """Take two values that are not identical: containers later, leaves at once."""
        rule = node.rule
        if rule.ignore:
            self._hide(a, b, path, name, weight)
        elif type(a) is type(b) and type(a) in CONTAINERS:
            self._stack.append((a, b, path, name, weight, node))
        elif a is MISSING or b is MISSING:
            if rule.null_equals_missing and (a is None or b is None):
                self._hide(a, b, path, name, weight)
            else:
                self._lose(_kind(a, b), a, b, path, name, weight)
        else:
            share = leaves.loss(a, b, rule)
            if share:
                kind = Kind.TYPE if leaves.is_type_change(a, b, rule) else Kind.CHANGED
                self._lose(kind, a, b, path, name, weight * share)
            else:  # a rule lets it pass
                self._hide(a, b, path, name, weight)

    def _objects(
        self, a: dict[str, Any], b: dict[str, Any], path: str, name: str, weight: float,
        node: Node,
    ) -> None:
        """Compare two objects where no rule can hold."""
        # the views of keys compare at the speed of C, in any order
        if not self.is_trusting or a.keys() != b.keys():
            self._ruled_objects(a, b, path, name, weight, node)
            return
        xs, ys = [*a.values()], [*map(b.__getitem__, a)]
        keys, share = [*a], weight / len(a)
        for n in compress(count(), map(ne, xs, ys)):
            key, x, y = keys[n], xs[n], ys[n]
            xs[n] = ys[n] = None
            step = _STEPS.get(key) or _step(key)
            kind = type(x)
            if kind is not type(y):
                self._lose(_kind(x, y), x, y, path + step, name + step, share)
            elif kind in CONTAINERS:
                self._stack.append((x, y, path + step, name + step, share, node))
            else:
                self._lose(_CHANGED, x, y, path + step, name + step, share)
        self._ours.append(xs)
        self._theirs.append(ys)

    def _ruled_objects(
        self, a: dict[str, Any], b: dict[str, Any], path: str, name: str, weight: float,
        node: Node,
    ) -> None:
        """Compare two objects one value at a time: under rules, or where keys differ.

        Keys that only the candidate has come last.
        """
        added = [key for key in b if key not in a]
        share = weight / (len(a) + len(added))
        for key in [*a, *added]:
            x, y = a.get(key, MISSING), b.get(key, MISSING)
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
            if found.is_sifted or not self.same(x, y):
                inner = node.child(i)
                if inner.is_inert and type(x) is dict and type(y) is dict:
                    self._objects(x, y, f"{path}[{i}]", below, share, inner)
                else:
                    self._visit(x, y, f"{path}[{i}]", below, share, inner)
        for i in found.removed:
            self._visit(a[i], MISSING, f"{path}[{i}]", below, share, node.child(i))
        for j in found.added:
            self._visit(MISSING, b[j], f"{path}[{j}]", below, share, node.child(j))

    def _are_rows(
        self, a: list[Any], b: list[Any], path: str, name: str, weight: float, node: Node,
    ) -> bool:
        """Compare two lists row by row, where it is plain which rows belong together.

        Return whether it is.
        """
        if self.is_careful or len(a) != len(b) or type(a[0]) is not dict:
            return False
        if not node.is_inert:
            partners = align.partners_of(a, b, node) if self.is_trusting else None
            if partners is None:
                return False
            b = partners
        inner = node.child(0)
        rows = self.differing(a, b)
        ours, theirs = [a[i] for i in rows], [b[i] for i in rows]
        below, share = name + "[*]", weight / len(a)
        if len(rows) >= MANY_ROWS and self.is_trusting:
            grid = grid_of(ours, theirs)
            if grid and not (node.is_keyed_only or grid.has_identity()):
                return False
            if grid:
                self._cells(grid, [f"{path}[{i}]" for i in rows], below, share, inner)
                return True
        if node.is_inert and not have_identity(ours, theirs):
            return False
        for i, x, y in zip(rows, ours, theirs, strict=True):
            self._objects(x, y, f"{path}[{i}]", below, share, inner)
        return True

    def _cells(
        self, grid: Grid, places: list[str], name: str, weight: float, node: Node,
    ) -> None:
        """Compare the values of rows that have the same keys in the same order, all at once."""
        xs, ys, width = grid.ours, grid.theirs, len(grid.keys)
        weight /= width
        steps = [_step(key) for key in grid.keys]
        for n in compress(count(), map(ne, xs, ys)):
            x, y, step = xs[n], ys[n], steps[n % width]
            xs[n] = ys[n] = None  # the proof of equal types is about the rest
            path = places[n // width] + step
            if type(x) is type(y) and type(x) not in CONTAINERS:
                self._lose(_CHANGED, x, y, path, name + step, weight)
            else:
                self._visit(x, y, path, name + step, weight, node)
        self._ours.append(xs)
        self._theirs.append(ys)

    def _lose(self, kind: Kind, a: Any, b: Any, path: str, name: str, weight: float) -> None:
        self.losses.append(weight)
        if len(self.found) < self.most:
            self.found.append(_new(Divergence, (path, name, kind, (a, b), weight)))
        else:
            self.omitted += 1

    def _hide(self, a: Any, b: Any, path: str, name: str, weight: float) -> None:
        if len(self.ignored) < self.most:
            self.ignored.append(Divergence(path, name, _kind(a, b), (a, b), weight))


def _kind(a: Any, b: Any) -> Kind:
    if a is MISSING:
        return Kind.ADDED
    if b is MISSING:
        return Kind.REMOVED
    return Kind.TYPE if leaves.is_type_change(a, b, STRICT) else Kind.CHANGED


def _aligned(a: list[Any], b: list[Any], name: str, node: Node, walk: _Walk) -> Alignment:
    """Pair two lists' items as the rule at their place says."""
    mode = node.rule.array or ArrayMode.SEQUENCE
    if mode is ArrayMode.KEYED:
        return align.by_key(a, b, node.rule.key or "id") or _in_sequence(a, b, name, node, walk)
    if mode is ArrayMode.POSITIONAL:
        found = align.in_place(len(a), len(b))
        return found._replace(is_reordered=align.is_permutation(*_forms(a, b, name, node)))
    if mode is ArrayMode.SEQUENCE:
        return _in_sequence(a, b, name, node, walk)
    pair = align.as_unique if mode is ArrayMode.UNIQUE else align.as_set

    def may_pair(i: int, j: int) -> bool:
        is_container = type(a[i]) is type(b[j]) and type(a[i]) in CONTAINERS
        return is_container or not leaves.loss(a[i], b[j], node.child(i).rule)

    return pair(*_forms(a, b, name, node), may_pair=may_pair)


def _forms(
    a: list[Any], b: list[Any], name: str, node: Node
) -> tuple[list[bytes], list[bytes]]:
    seen = node if name.count("[*]") < MOST_REALIGNED else None
    return align.hashes(a, seen), align.hashes(b, seen)


def _in_sequence(a: list[Any], b: list[Any], name: str, node: Node, walk: _Walk) -> Alignment:
    """Align by the raw items; where rules hold also as they see them: the better one counts.

    What an alignment costs is estimated with the lists inside paired by their raw items. If each
    of them tried its alignments too, and theirs, a list in a list would take four times as long.
    The estimate is never too low, so a rule still cannot make two documents less alike.
    """
    raw = _without_rules(a, b, walk)
    if node.is_inert or walk.is_estimating or name.count("[*]") >= MOST_REALIGNED:
        return raw
    straight = align.in_place(len(a), len(b))
    best, least, known = raw, None, [_choice(straight if raw.is_sifted else raw)]
    for other in (align.in_sequence(*_forms(a, b, name, node)), straight):
        if _choice(other) in known:
            continue
        known.append(_choice(other))
        least = _cost(a, b, best, node, walk.same) if least is None else least
        cost = _cost(a, b, other, node, walk.same)
        if cost < least:
            best, least = other, cost
    return best


def _choice(found: Alignment) -> tuple[list[tuple[int, int]], bool]:
    """Return what tells one alignment of the same two lists from another."""
    return found.pairs, found.is_reordered


def _without_rules(a: list[Any], b: list[Any], walk: _Walk) -> Alignment:
    """Align equal-length lists in place when that is a longest common subsequence already.

    It surely is when no differing item of one list is among the differing items of the other.
    """
    if len(a) != len(b):
        return align.in_sequence(align.hashes(a, None), align.hashes(b, None))
    differing = walk.differing(a, b)
    in_place = Alignment([(i, i) for i in differing], [], [], equal=len(a) - len(differing),
                         is_sifted=True)
    forms = align.hashes([a[i] for i in differing], None)
    if set(forms).isdisjoint(align.hashes([b[i] for i in differing], None)):
        return in_place
    left, right = align.hashes(a, None), align.hashes(b, None)
    found = align.in_sequence(left, right)
    matches = sum(left[i] == right[j] for i, j in found.pairs)
    return found if found.is_reordered or matches > in_place.equal else in_place


def _cost(a: list[Any], b: list[Any], found: Alignment, node: Node, same: Same) -> float:
    """Return the share of a list's weight that an alignment loses at most."""
    walk = _Walk(0, same, is_estimating=True)
    walk.pairs(a, b, found, "$", "$", 1.0, node)
    walk.drain()
    return math.fsum(walk.losses)
