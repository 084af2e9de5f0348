"""Which items of two lists belong together. Pure.

Items in sequence are paired along a longest common subsequence (Hirschberg 1975; computed by
rapidfuzz's bit-parallel algorithm), and what lies between two matches in order. The result does not
depend on which list is the baseline's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import orjson
from rapidfuzz.distance import LCSseq

from changeover.comparison.json_text import as_json
from changeover.comparison.leaves import string_form
from changeover.comparison.rules import ArrayMode, Node, Rule

MOST_STEPS = 4_000_000_000
"""Pairs of items that are aligned at most; longer lists are paired by position."""

_dumps, _SORTED = orjson.dumps, orjson.OPT_SORT_KEYS
Items = Sequence[Any]
Hashes = list[bytes]


class Alignment(NamedTuple):
    """Indexes of the items that belong together, and of those that only one side has.

    `pairs` are (baseline, candidate); `equal` counts further pairs that are known to be identical;
    `is_reordered` when the same items stand in another order; `is_sifted` when equal items are not
    among the pairs.
    """

    pairs: list[tuple[int, int]]
    removed: list[int]
    added: list[int]
    is_reordered: bool = False
    equal: int = 0
    is_sifted: bool = False

    @property
    def size(self) -> int:
        """Number of places of both lists together."""
        return len(self.pairs) + len(self.removed) + len(self.added) + self.equal

    def of_selected(self, ours: Sequence[int], theirs: Sequence[int]) -> Alignment:
        """Return this alignment of selected items with the indexes of the whole lists."""
        return self._replace(
            pairs=[(ours[i], theirs[j]) for i, j in self.pairs],
            removed=[ours[i] for i in self.removed], added=[theirs[j] for j in self.added])


def canonical(value: Any) -> bytes:
    """Return a value as something that is equal for equal values only, types included."""
    try:
        return _dumps(value, as_json, _SORTED)
    # Integers beyond 64 bits, or nested deeper than 254.
    except (TypeError, RecursionError):
        return _deep_canonical(value)


def _deep_canonical(value: Any) -> bytes:
    """Return the same without recursion: the parts in order, each with its type."""
    parts: list[str] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if type(item) is dict:
            parts.append(f"{{{len(item)}")
            for key in sorted(item):
                # Of a type of its own: a key must not look like a text beside it.
                stack += (item[key], _Key(key))
        elif type(item) is list:
            parts.append(f"[{len(item)}")
            stack += item
        else:
            parts.append(f"{type(item).__name__}:{item!r}")
    return "\x00".join(parts).encode("utf-8", "surrogatepass")


class _Key(str):
    """A key among the values of `_deep_canonical`."""


MOST_PROJECTED = 50
"""Levels of an item that are seen through the rules; what lies deeper, as it is."""


def projected(value: Any, node: Node, levels: int = MOST_PROJECTED) -> Any:
    """Return a value as its rules see it: without what is ignored, strings in their form.

    Tolerances cannot be projected; what they let pass is found when the pairs are compared.
    """
    rule = node.rule
    if rule.ignore:
        return None
    if node.is_inert or not levels:
        return value
    if type(value) is dict:
        seen = {}
        for key, part in value.items():
            below = node.child(key)
            is_missing = part is None and below.rule.null_equals_missing
            if not (below.rule.ignore or is_missing):
                seen[key] = projected(part, below, levels - 1)
        return seen
    if type(value) is list:
        items = [projected(item, node.child(index), levels - 1)
                 for index, item in enumerate(value)]
        if rule.array in (ArrayMode.SET, ArrayMode.KEYED):
            return sorted(items, key=canonical)
        # What has no order gets one, so that the same items in any order look the same.
        if rule.array is ArrayMode.UNIQUE:
            distinct = {canonical(item): item for item in items}
            return [distinct[form] for form in sorted(distinct)]
        return items
    return _projected_leaf(value, rule)


def _projected_leaf(value: Any, rule: Rule) -> Any:
    if type(value) is str and rule.has_string_form:
        return string_form(value, rule)
    if type(value) is float and rule.is_type_tolerant and value.is_integer():
        return int(value)
    return value


def hashes(items: Items, node: Node | None) -> Hashes:
    """Return each item's canonical form, as the rules of `node` see it when one is given."""
    if node is None or node.is_inert:
        try:
            return [_dumps(item, as_json, _SORTED) for item in items]
        except (TypeError, RecursionError):
            return [canonical(item) for item in items]
    return [canonical(projected(item, node.child(index))) for index, item in enumerate(items)]


def in_place(length: int, other: int) -> Alignment:
    """Pair first with first, second with second."""
    both = min(length, other)
    return Alignment(
        [(index, index) for index in range(both)], list(range(both, length)),
        list(range(both, other)),
    )


def in_sequence(left: Hashes, right: Hashes, *, by_kind: bool = False) -> Alignment:
    """Pair along a longest common subsequence.

    Args:
        left: The baseline's items; what they begin with is their kind.
        right: The candidate's.
        by_kind: Whether items that are not equal are only paired with others of their kind.
    """
    # Two lists of 70,000 items would take minutes; by kind there is no place to fall back to.
    if len(left) * len(right) > MOST_STEPS and not by_kind:
        return in_place(len(left), len(right))
    # One orientation for both, so that similarity is symmetric.
    if left > right:
        turned = in_sequence(right, left, by_kind=by_kind)
        return Alignment(
            [(j, i) for i, j in turned.pairs], turned.added, turned.removed, turned.is_reordered
        )
    pairs: list[tuple[int, int]] = []
    for is_equal, rows, columns in _blocks(left, right):
        if is_equal or (len(rows) == len(columns) and not by_kind):
            pairs += zip(rows, columns, strict=True)
        else:
            pairs += _pairs_between(left, right, rows, columns, by_kind=by_kind)
    ours, theirs = {i for i, _ in pairs}, {j for _, j in pairs}
    return Alignment(
        pairs, [i for i in range(len(left)) if i not in ours],
        [j for j in range(len(right)) if j not in theirs], is_permutation(left, right),
    )


def _pairs_between(
    left: Hashes, right: Hashes, rows: range, columns: range, *, by_kind: bool
) -> list[tuple[int, int]]:
    """Pair unequal items between two matches: those of one kind, then, if they may, in order."""
    kinds = [left[i][:1] for i in rows], [right[j][:1] for j in columns]
    pairs: list[tuple[int, int]] = []
    for is_equal, own, other in _blocks(*kinds):
        if is_equal or not by_kind:
            pairs += zip(rows[own.start : own.stop], columns[other.start : other.stop],
                         strict=False)
    return pairs


def is_permutation(left: Hashes, right: Hashes) -> bool:
    """Whether the same items stand in another order."""
    return len(left) == len(right) and left != right and Counter(left) == Counter(right)


def _blocks(left: Hashes, right: Hashes) -> list[tuple[bool, range, range]]:
    """Return (is equal, rows, columns): equal runs, and what lies between two of them."""
    blocks: list[tuple[bool, range, range]] = []
    for step in LCSseq.opcodes(left, right):
        is_equal = step.tag == "equal"
        rows = range(step.src_start, step.src_end)
        columns = range(step.dest_start, step.dest_end)
        if not is_equal and blocks and not blocks[-1][0]:
            rows = range(blocks[-1][1].start, rows.stop)
            columns = range(blocks[-1][2].start, columns.stop)
            blocks.pop()
        blocks.append((is_equal, rows, columns))
    return blocks


def as_set(
    left: Sequence[Any], right: Sequence[Any], *, may_pair: Callable[[int, int], bool]
) -> Alignment:
    """Pair equal items, wherever they stand; then leftovers in order where `may_pair` says so."""
    places: dict[Any, list[int]] = defaultdict(list)
    # From the end, as `pop` takes the last one: of equal items the first is paired first.
    for index in range(len(right) - 1, -1, -1):
        places[right[index]].append(index)
    pairs, removed = [], []
    for index, item in enumerate(left):
        found = places.get(item)
        if found:
            pairs.append((index, found.pop()))
        else:
            removed.append(index)
    added = sorted(index for found in places.values() for index in found)
    return _pair_leftovers(Alignment(pairs, removed, added), may_pair)


def as_unique(left: Hashes, right: Hashes, *, may_pair: Callable[[int, int], bool]) -> Alignment:
    """Pair as a set after leaving out items that stand more than once on their side."""
    ours, theirs = _first_places(left), _first_places(right)
    found = as_set([left[i] for i in ours], [right[j] for j in theirs],
                   may_pair=lambda i, j: may_pair(ours[i], theirs[j]))
    return found.of_selected(ours, theirs)


def _first_places(items: Hashes) -> list[int]:
    """Return where each different item stands first."""
    places: dict[bytes, int] = {}
    for index, item in enumerate(items):
        places.setdefault(item, index)
    return [*places.values()]


def partners_of(left: Items, right: Items, node: Node) -> list[Any] | None:
    """Return the right items in the order of the left ones that equal them in the rule's key.

    None unless each has exactly one, and no rule holds for anything in them. Equal is `==`: who
    calls must prove that the types are the same.
    """
    if not node.is_keyed_only:
        return None
    key = node.rule.key or "id"
    try:
        places = {item[key]: item for item in right}
        found = [places.pop(item[key]) for item in left]
    # No partner, no such field, no object, or nothing to hash.
    except (KeyError, TypeError):
        return None
    return found if len(right) == len(found) else None


def by_key(left: Items, right: Items, key: str) -> Alignment | None:
    """Pair equal items, wherever they stand; the others by the value of a field.

    Those without the field are paired in order, with what is left over. None when no item has it.
    """
    if not (_has_key(left, key) or _has_key(right, key)):
        return None
    found = _leftovers(_plain(left), _plain(right))
    order = _order_by_key(
        [left[i] for i in found.removed], [right[j] for j in found.added], key
    )
    if order is not None:
        pairs = [(i, found.added[n]) for i, n in zip(found.removed, order, strict=True)]
        return Alignment(pairs, [], [], equal=found.equal, is_sifted=True)
    # Which items are equal matters now, in whatever order their keys are.
    found = _leftovers(hashes(left, None), hashes(right, None))
    keys = [_key_of(left[i], key) for i in found.removed]
    others = [_key_of(right[j], key) for j in found.added]
    return by_keys(keys, others).of_selected(found.removed, found.added)._replace(
        equal=found.equal, is_sifted=True)


def _has_key(items: Items, key: str) -> bool:
    return any(type(item) is dict and key in item for item in items)


def by_keys(keys: Sequence[Any], others: Sequence[Any]) -> Alignment:
    """Pair items with the same key; those without one (None) in order, with what is left over."""
    # An item without a key gets one that no other item has.
    left = [(0, i) if key is None else key for i, key in enumerate(keys)]
    right = [(1, j) if key is None else key for j, key in enumerate(others)]
    return as_set(left, right, may_pair=lambda i, j: keys[i] is None or others[j] is None)


def _plain(items: Items) -> Hashes:
    """Return each item as JSON, keys in their order: the fastest of forms."""
    try:
        return [*map(_dumps, items, repeat(as_json))]
    except (TypeError, RecursionError):
        return [canonical(item) for item in items]


def _leftovers(left: Hashes, right: Hashes) -> Alignment:
    """Count equal items, wherever they stand, and return the others as removed and added."""
    places = dict(zip(right, range(len(right)), strict=True))
    # Some stand more than once: then each needs a place of its own.
    if len(places) < len(right):
        found = as_set(left, right, may_pair=lambda _i, _j: False)
        return found._replace(pairs=[], equal=len(found.pairs))
    removed = [i for i, form in enumerate(left) if places.pop(form, None) is None]
    return Alignment([], removed, [*places.values()], equal=len(left) - len(removed))


def _order_by_key(left: Items, right: Items, key: str) -> list[int] | None:
    """Return where each item's partner by a field stands.

    None when not every item has just one, or when the keys are not all texts, or all integers.
    """
    try:
        keys, others = [item[key] for item in left], [item[key] for item in right]
    except (KeyError, TypeError, IndexError):
        return None
    kinds = {*map(type, keys), *map(type, others)}
    places = dict(zip(others, range(len(others)), strict=True)) if kinds <= _EXACT else {}
    if not len(kinds) <= 1 or not len(keys) == len(others) == len(places):
        return None
    return [*map(places.__getitem__, keys)] if places.keys() == set(keys) else None


_EXACT = {str, int}
"""Types of keys whose values are equal only to values of the same type, one type at a time."""


def _key_of(item: Any, key: str) -> Any:
    """Return an item's key as something hashable; keys of different type are never equal."""
    if type(item) is not dict or key not in item:
        return None
    found = item[key]
    return found if type(found) is str or type(found) is int else canonical(found)


def _pair_leftovers(found: Alignment, may_pair: Callable[[int, int], bool]) -> Alignment:
    if not (found.removed and found.added):
        return found
    pairs, added, removed = list(found.pairs), list(found.added), []
    for i in found.removed:
        j = next((j for j in added[:MOST_TRIED] if may_pair(i, j)), None)
        if j is None:
            removed.append(i)
        else:
            added.remove(j)
            pairs.append((i, j))
    return Alignment(pairs, removed, added)


MOST_TRIED = 20
"""Leftovers that are tried for one item: lists that share nothing stay cheap."""
