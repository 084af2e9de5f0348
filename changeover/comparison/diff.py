"""Structured comparison of two documents: every place that differs, and their similarity. Pure.

The walk is a loop with a stack of its own, so that documents may be nested as deep as the parser
lets them. Equal parts are passed over at the speed of C, in three steps of growing care:

1. `==` finds them. It ignores types (`1 == True` in Python), so they are noted, and when the walk
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
from typing import Any, NamedTuple

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


MOST_KEYS = 10_000
_STEPS: dict[str, str] = {}


def _step(key: str) -> str:
    """Return a key as the step of a path; remembered, since the same keys come again and again."""
    found = _STEPS.get(key)
    if found is None:
        # Documents may have keys of their own each; the memory of a service must not grow by them.
        if len(_STEPS) > MOST_KEYS:
            _STEPS.clear()
        found = _STEPS[key] = format_path((key,))[1:]
    return found


class _Place(NamedTuple):
    """Where two values stand: path, path with `[*]` for indexes, share of the whole, and rules."""

    path: str
    name: str
    weight: float
    node: Node

    @property
    def depth(self) -> int:
        """In how many lists it stands."""
        return self.name.count("[*]")

    def shared(self, size: int) -> _Place:
        """Return the place of a container's parts, without their steps: each weighs as much."""
        path, name, weight, node = self
        return _new(_Place, (path, name, weight / size, node))

    def at_key(self, key: str) -> _Place:
        """Return the place of an object's value."""
        path, name, weight, node = self
        step = _STEPS.get(key) or _step(key)
        if not node.is_inert:
            node = node.child(key)
        return _new(_Place, (path + step, name + step, weight, node))

    def at_index(self, index: int) -> _Place:
        """Return the place of a list's item."""
        path, name, weight, node = self
        if not node.is_inert:
            node = node.child(index)
        return _new(_Place, (f"{path}[{index}]", name + "[*]", weight, node))


class _Walk:
    """One comparison under way: what was lost, found and hidden so far.

    A trusting walk treats what is `==` as the same, and is right when `is_proved` says so. An
    estimating one pairs the lists that it meets by the raw items alone.
    """

    __slots__ = ("_ours", "_stack", "_theirs", "found", "ignored", "is_careful", "is_estimating",
                 "is_trusting", "losses", "most", "omitted", "same")

    def __init__(
        self, most: int, same: Same, *, is_trusting: bool = False, is_estimating: bool = False
    ) -> None:
        self._ours: list[Any] = []  # found equal to its neighbour in _theirs, by value only
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
        self._stack: list[tuple[Any, Any, _Place]] = []

    def run(self, a: Any, b: Any, node: Node) -> None:
        """Compare two values and everything below them."""
        if not self.same(a, b):
            self._visit(a, b, _Place("$", "$", 1.0, node))
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
            a, b, place = stack.pop()
            if type(a) is dict:
                self._objects(a, b, place)
            elif not self._are_rows(a, b, place):
                self.pairs(a, b, _aligned(a, b, place, self), place)

    def _visit(self, a: Any, b: Any, place: _Place) -> None:
        """Compare two values that are not identical: containers later, leaves at once."""
        rule = place.node.rule
        if rule.ignore:
            # A careful walk cannot tell yet whether they differ at all.
            if not self.is_careful or align.canonical(a) != align.canonical(b):
                self._hide(a, b, place)
        elif type(a) is type(b) and type(a) in CONTAINERS:
            self._stack.append((a, b, place))
        elif a is MISSING or b is MISSING:
            if rule.null_equals_missing and (a is None or b is None):
                self._hide(a, b, place)
            else:
                self._lose(_kind(a, b), a, b, place)
        else:
            share = leaves.loss(a, b, rule)
            if share:
                kind = Kind.TYPE if leaves.is_type_change(a, b, rule) else Kind.CHANGED
                self._lose(kind, a, b, place._replace(weight=place.weight * share))
            else:  # a rule lets it pass
                self._hide(a, b, place)

    def _objects(self, a: dict[str, Any], b: dict[str, Any], place: _Place) -> None:
        """Compare two objects; keys that only the candidate has come last."""
        keys = [*a]
        if a.keys() == b.keys():  # in any order, and at the speed of C
            xs, ys = [*a.values()], [*map(b.__getitem__, a)]
        else:
            keys += [key for key in b if key not in a]
            xs = [a.get(key, MISSING) for key in keys]
            ys = [b.get(key, MISSING) for key in keys]
        below = place.shared(len(keys))
        for n in self.differing(xs, ys):
            self._value(xs[n], ys[n], below, keys[n])

    def _value(self, a: Any, b: Any, above: _Place, key: str) -> None:
        """Compare two values of objects that are not identical."""
        path, name, weight, node = above
        kind = type(a)
        if not node.is_inert or kind is not type(b) or kind in CONTAINERS:
            self._visit(a, b, above.at_key(key))
            return
        # Most that differs is a leaf where no rule holds. It is recorded here, since a place and
        # two calls for each take a tenth of the comparison's time and more (decision 19).
        step = _STEPS.get(key) or _step(key)
        self.losses.append(weight)
        if len(self.found) < self.most:
            found = (path + step, name + step, _CHANGED, (a, b), weight)
            self.found.append(_new(Divergence, found))
        else:
            self.omitted += 1

    def pairs(self, a: list[Any], b: list[Any], found: Alignment, place: _Place) -> None:
        """Compare two lists' items as they were paired."""
        size = found.size
        if not size:
            return
        below = place.shared(size)
        if found.is_reordered:
            lost = below.weight * (len(found.removed) + len(found.added))
            lost = lost or below.weight * sum(not self.same(a[i], b[j]) for i, j in found.pairs)
            self._lose(Kind.ORDER, a, b, place._replace(weight=lost))
            return
        for i, j in found.pairs:
            if found.is_sifted or not self.same(a[i], b[j]):
                self._visit(a[i], b[j], below.at_index(i))
        for i in found.removed:
            self._visit(a[i], MISSING, below.at_index(i))
        for j in found.added:
            self._visit(MISSING, b[j], below.at_index(j))

    def cost(self, a: list[Any], b: list[Any], found: Alignment, node: Node) -> float:
        """Return the share of a list's weight that an alignment loses at most."""
        walk = _Walk(0, self.same, is_estimating=True)
        walk.pairs(a, b, found, _Place("$", "$", 1.0, node))
        walk.drain()
        return math.fsum(walk.losses)

    def _are_rows(self, a: list[Any], b: list[Any], place: _Place) -> bool:
        """Compare two lists row by row, where it is plain which rows belong together.

        Return whether it is.
        """
        node = place.node
        if self.is_careful or len(a) != len(b) or type(a[0]) is not dict:
            return False
        if not node.is_inert:
            partners = align.partners_of(a, b, node) if self.is_trusting else None
            if partners is None:
                return False
            # Each stands beside its partner from here on.
            b = partners
        rows = self.differing(a, b)
        ours, theirs = [a[i] for i in rows], [b[i] for i in rows]
        below = place.shared(len(a))
        if len(rows) >= MANY_ROWS and self.is_trusting:
            grid = grid_of(ours, theirs)
            # Rows without a name of their own may have moved: they have to be aligned.
            if grid and not (node.is_keyed_only or grid.has_identity()):
                return False
            if grid:
                cells = below.shared(len(grid.keys))
                self._cells(grid, [cells.at_index(i) for i in rows])
                return True
        if node.is_inert and not have_identity(ours, theirs):
            return False
        for i, x, y in zip(rows, ours, theirs, strict=True):
            self._objects(x, y, below.at_index(i))
        return True

    def _cells(self, grid: Grid, rows: list[_Place]) -> None:
        """Compare the values of rows that have the same keys in the same order, all at once."""
        xs, ys, width = grid.ours, grid.theirs, len(grid.keys)
        for n in self.differing(xs, ys):
            row, column = divmod(n, width)
            self._value(xs[n], ys[n], rows[row], grid.keys[column])

    def _lose(self, kind: Kind, a: Any, b: Any, place: _Place) -> None:
        path, name, weight, _ = place
        self.losses.append(weight)
        if len(self.found) < self.most:
            self.found.append(_new(Divergence, (path, name, kind, (a, b), weight)))
        else:
            self.omitted += 1

    def _hide(self, a: Any, b: Any, place: _Place) -> None:
        if len(self.ignored) < self.most:
            path, name, weight, _ = place
            self.ignored.append(Divergence(path, name, _kind(a, b), (a, b), weight))


def _kind(a: Any, b: Any) -> Kind:
    if a is MISSING:
        return Kind.ADDED
    if b is MISSING:
        return Kind.REMOVED
    return Kind.TYPE if leaves.is_type_change(a, b, STRICT) else Kind.CHANGED


def _aligned(a: list[Any], b: list[Any], place: _Place, walk: _Walk) -> Alignment:
    """Pair two lists' items as the rule at their place says."""
    node = place.node
    mode = node.rule.array or ArrayMode.SEQUENCE
    if mode is ArrayMode.KEYED:
        found = align.by_key(a, b, node.rule.key or "id")
        return found or _in_sequence(a, b, place, walk)
    if mode is ArrayMode.POSITIONAL:
        found = align.in_place(len(a), len(b))
        return found._replace(is_reordered=align.is_permutation(*_forms(a, b, place)))
    if mode is ArrayMode.SEQUENCE:
        return _in_sequence(a, b, place, walk)
    pair = align.as_unique if mode is ArrayMode.UNIQUE else align.as_set

    def may_pair(i: int, j: int) -> bool:
        is_container = type(a[i]) is type(b[j]) and type(a[i]) in CONTAINERS
        return is_container or not leaves.loss(a[i], b[j], node.child(i).rule)

    return pair(*_forms(a, b, place), may_pair=may_pair)


def _forms(a: list[Any], b: list[Any], place: _Place) -> tuple[list[bytes], list[bytes]]:
    seen = place.node if place.depth < MOST_REALIGNED else None
    return align.hashes(a, seen), align.hashes(b, seen)


def _in_sequence(a: list[Any], b: list[Any], place: _Place, walk: _Walk) -> Alignment:
    """Align by the raw items; where rules hold also as they see them: the better one counts.

    What an alignment costs is estimated with the lists inside paired by their raw items. If each
    of them tried its alignments too, and theirs, a list in a list would take four times as long.
    The estimate is never too low, so a rule still cannot make two documents less alike.
    """
    raw = _without_rules(a, b, walk)
    node = place.node
    if node.is_inert or walk.is_estimating or place.depth >= MOST_REALIGNED:
        return raw
    straight = align.in_place(len(a), len(b))
    best, least, known = raw, None, [_choice(straight if raw.is_sifted else raw)]
    for other in (align.in_sequence(*_forms(a, b, place)), straight):
        if _choice(other) in known:
            continue
        known.append(_choice(other))
        least = walk.cost(a, b, best, node) if least is None else least
        cost = walk.cost(a, b, other, node)
        if cost < least:
            best, least = other, cost
    return best


def _choice(found: Alignment) -> tuple[list[tuple[int, int]], bool]:
    """Return what distinguishes one alignment of the same two lists from another."""
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
