"""Structured comparison of two trees of elements: every place that differs. Pure.

Names, namespaces, attributes, texts and the order of all of them count; the order of attributes and
the prefixes of namespaces do not. What stands in an element is paired along a longest common
subsequence, or as a rule for all elements of a name says; weights are those of similarity.py, with
attributes, texts and elements as children. Places are described in changeover.plan.paths.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from changeover.comparison import align, leaves
from changeover.comparison.align import Alignment
from changeover.comparison.markup import Element
from changeover.comparison.rules import ArrayMode, Node, Rule, RuleSet, merge
from changeover.comparison.similarity import (
    IDENTICAL,
    MISSING,
    Comparison,
    Divergence,
    Kind,
    similarity_of,
)
from changeover.plan.paths import ROOT, TEXT, Name, shown_name

_SEQUENCE = (None, ArrayMode.SEQUENCE)


def compare_trees(
    baseline: Element, candidate: Element, rules: RuleSet, *, most_divergences: int
) -> Comparison:
    """Compare two documents by their root elements.

    Args:
        baseline: The baseline's root element.
        candidate: The candidate's.
        rules: What is allowed to differ.
        most_divergences: More than this are counted, not listed.
    """
    walk = _Walk(most_divergences)
    walk.run(baseline, candidate, rules)
    if not (walk.found or walk.ignored or walk.losses):
        return IDENTICAL
    return Comparison(
        similarity_of(walk.losses), tuple(walk.found), tuple(walk.ignored), walk.omitted)


@dataclass(frozen=True, slots=True)
class _Item:
    """Something in an element: an element or a text, with its place among its like.

    `number` counts the elements of one name from 1; it is shown when there are several.
    """

    value: Any
    name: Name
    number: int
    is_one_of_many: bool

    @property
    def form(self) -> Any:
        """What is equal for items that rules see as equal, and begins with the name."""
        is_element = type(self.value) is Element
        return self.name, self.value.seen if is_element else self.value

    @property
    def digest(self) -> Any:
        """What is equal for equal items only."""
        return self.value.digest if type(self.value) is Element else self.value


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a walk is: the rule's node, the path, the path without indexes, and the namespace."""

    node: Node
    path: str
    field: str
    namespace: str

    def below(self, item: _Item) -> _Place:
        """Return the place of an element or a text."""
        node = self.node.child(item.name)
        if item.name is TEXT:
            index = f"[{item.number}]" if item.is_one_of_many else ""
            return _Place(node, f"{self.path}/text(){index}", f"{self.field}/text()", "")
        step = "/" + shown_name(item.name, self.namespace)
        index = f"[{item.number}]" if item.is_one_of_many else ""
        return _Place(node.child(item.number), self.path + step + index, self.field + step,
                      item.name.namespace)


class _Walk:
    """One comparison under way."""

    def __init__(self, most: int) -> None:
        self.losses: list[float] = []
        self.found: list[Divergence] = []
        self.ignored: list[Divergence] = []
        self.omitted = 0
        self._most = most
        self._stack: list[tuple[Element, Element, _Place, float]] = []

    def run(self, a: Element, b: Element, rules: RuleSet) -> None:
        """Compare two root elements."""
        node = rules.root.child(ROOT)
        # Within documents, so that root elements of different names are paired like any others.
        ours, theirs = Element(Name("{}"), {}, [a]), Element(Name("{}"), {}, [b])
        _digest(ours, node)
        _digest(theirs, node)
        start = _Place(node, "", "", "")
        if rules.root.rule.ignore or node.rule.ignore:
            if ours.digest != theirs.digest:
                self._hide(_Place(node, "/", "/", ""), a, b)
            return
        self._items(ours, theirs, start, 1.0)
        # With a stack of its own: documents may be nested deeper than Python's calls.
        while self._stack:
            self._elements(*self._stack.pop())

    def _elements(self, a: Element, b: Element, place: _Place, weight: float) -> None:
        """Compare two elements of one name."""
        names = list(dict.fromkeys((*a.attributes, *b.attributes)))
        # Leaves are most of all elements, and need no pairing.
        if a.is_leaf and b.is_leaf:
            # A text on either side is one more child, as in similarity.py.
            share = weight / (len(names) + bool(a.text or b.text) or 1)
            if a.text != b.text:
                node = place.node
                rule = merge(node.rule, node.child(TEXT).rule)
                self._text(place, rule, (a.text, b.text), share)
        else:
            items = _pairings(a, b, place.node)
            share = weight / (len(names) + _size_of(items) or 1)
            self._paired(items, place, share)
        for name in names:
            x, y = a.attributes.get(name, MISSING), b.attributes.get(name, MISSING)
            if x != y:
                step = f"/{name}"
                node = place.node.child(name)
                at = _Place(node, place.path + step, place.field + step, "")
                self._text(at, node.rule, (x, y), share)

    def _items(self, a: Element, b: Element, place: _Place, weight: float) -> None:
        items = _pairings(a, b, place.node)
        self._paired(items, place, weight / (_size_of(items) or 1))

    def _paired(self, pairings: list[_Pairing], place: _Place, share: float) -> None:
        """Compare items as they were paired."""
        for pairing in pairings:
            left, right, found = pairing
            if found.is_reordered:
                self._reordered(pairing, place, share)
                continue
            for i, j in found.pairs:
                self._pair(left[i], right[j], place, share)
            for i in found.removed:
                self._alone(left[i], place, share, is_added=False)
            for j in found.added:
                self._alone(right[j], place, share, is_added=True)

    def _pair(self, x: _Item, y: _Item, place: _Place, share: float) -> None:
        if x.digest == y.digest:
            return
        at = place.below(x)
        if x.name is TEXT:
            self._text(at, merge(place.node.rule, at.node.rule), (x.value, y.value), share)
        elif at.node.rule.ignore:
            self._hide(at, x.value, y.value)
        else:
            self._stack.append((x.value, y.value, at, share))

    def _alone(self, item: _Item, place: _Place, share: float, *, is_added: bool) -> None:
        at = place.below(item)
        values = (MISSING, item.value) if is_added else (item.value, MISSING)
        if at.node.rule.ignore:
            self._hide(at, *values)
        else:
            self._lose(Kind.ADDED if is_added else Kind.REMOVED, at, values, share)

    def _reordered(self, pairing: _Pairing, place: _Place, share: float) -> None:
        """Note that the same items stand in another order, at their name if they have but one."""
        left, right, found = pairing
        names = {item.name for item in (*left, *right)}
        name = shown_name(names.pop(), place.namespace) if len(names) == 1 else "*"
        at = _Place(place.node, f"{place.path}/{name}", f"{place.field}/{name}", "")
        moved = len(found.removed) + len(found.added)
        if not moved:
            moved = sum(left[i].form != right[j].form for i, j in found.pairs)
        values = [item.name.local for item in left], [item.name.local for item in right]
        self._lose(Kind.ORDER, at, values, share * moved)

    def _text(self, at: _Place, rule: Rule, values: tuple[Any, Any], weight: float) -> None:
        """Compare two texts, of which one may be missing."""
        if MISSING in values:
            kind, lost = (Kind.ADDED if values[0] is MISSING else Kind.REMOVED), 1.0
        else:
            kind, lost = Kind.CHANGED, leaves.loss(*values, rule)
        if rule.ignore or not lost:
            self._hide(at, *values)
        else:
            self._lose(kind, at, values, weight * lost)

    def _lose(self, kind: Kind, at: _Place, values: tuple[Any, Any], weight: float) -> None:
        self.losses.append(weight)
        if len(self.found) < self._most:
            self.found.append(Divergence(at.path, at.field, kind, values, weight))
        else:
            self.omitted += 1

    def _hide(self, at: _Place, a: Any, b: Any) -> None:
        if len(self.ignored) < self._most:
            kind = Kind.ADDED if a is MISSING else Kind.REMOVED if b is MISSING else Kind.CHANGED
            self.ignored.append(Divergence(at.path, at.field, kind, (a, b), 0.0))


_Pairing = tuple[list[_Item], list[_Item], Alignment]


def _size_of(pairings: list[_Pairing]) -> int:
    """Return how many places all pairings have together."""
    return sum(found.size for *_, found in pairings)


def _items_of(element: Element) -> list[_Item]:
    names = [item.name if type(item) is Element else TEXT for item in element.items]
    many, seen = Counter(names), Counter[Name]()
    found = []
    for value, name in zip(element.items, names, strict=True):
        # From 1 and by name, as XPath counts.
        seen[name] += 1
        found.append(_Item(value, name, seen[name], many[name] > 1))
    return found


def _pairings(a: Element, b: Element, node: Node) -> list[_Pairing]:
    """Return what stands in two elements, paired: what is in sequence, then each name with a rule.

    Items that a rule ignores are paired in order, so that nothing hangs on how many there are.
    """
    ours, theirs = _grouped(a, node), _grouped(b, node)
    found = []
    for group in dict.fromkeys((*ours, *theirs)):
        left, right = ours.get(group, []), theirs.get(group, [])
        found.append((left, right, _aligned(left, right, group, node)))
    return found


def _grouped(element: Element, node: Node) -> dict[Any, list[_Item]]:
    parts: dict[Any, list[_Item]] = defaultdict(list)
    for item in _items_of(element):
        parts[_group(item, node)].append(item)
    return parts


def _group(item: _Item, node: Node) -> Any:
    """Return with which items one is paired: its name where a rule says how, else None."""
    if node.is_inert:
        return None
    below = node.child(item.name)
    if item.name is TEXT:
        return ("ignored", TEXT) if below.rule.ignore else None
    if below.rule.ignore or below.child(item.number).rule.ignore:
        return "ignored", item.name
    return None if below.rule.array in _SEQUENCE else item.name


def _aligned(left: list[_Item], right: list[_Item], group: Any, node: Node) -> Alignment:
    if type(group) is tuple:
        return align.in_place(len(left), len(right))
    forms: Any = [item.form for item in left], [item.form for item in right]
    rule = node.child(group).rule if group is not None else None
    if rule is None:
        return align.in_sequence(*forms, by_kind=True)
    if rule.array is ArrayMode.KEYED:
        return _by_key(left, right, forms, rule.key or "@id")
    if rule.array is ArrayMode.POSITIONAL:
        found = align.in_place(len(left), len(right))
        return found._replace(is_reordered=align.is_permutation(*forms))
    pair = align.as_unique if rule.array is ArrayMode.UNIQUE else align.as_set
    return pair(*forms, may_pair=lambda _i, _j: True)


def _by_key(left: list[_Item], right: list[_Item], forms: Any, key: str) -> Alignment:
    """Pair equal elements, wherever they stand, then others by an attribute or what is in them."""
    equal = align.as_set(*forms, may_pair=lambda _i, _j: False)
    ours = [_key_of(left[i].value, key) for i in equal.removed]
    theirs = [_key_of(right[j].value, key) for j in equal.added]
    found = align.by_keys(ours, theirs).of_selected(equal.removed, equal.added)
    return found._replace(pairs=[*equal.pairs, *found.pairs])


def _key_of(element: Element, key: str) -> str | None:
    """Return the text of an attribute (`@id`), of an element inside (`sku`), or its own."""
    if key.startswith("@"):
        for name, text in element.attributes.items():
            if key in (name, Name(name).local):
                return text
        return None
    if key == TEXT:
        return element.text
    for item in element.items:
        if type(item) is Element and key in (item.name, item.name.local):
            return item.text
    return None


def _digest(document: Element, node: Node) -> None:
    """Give every element below a document its digests, those of its parts first."""
    order = [*_with_nodes(document, node)]
    # From the last one back: what is in an element comes after it.
    for element, below in reversed(order):
        forms = [item.digest if type(item) is Element else item for item in element.items]
        element.digest = element.seen = _hash(element.name, element.attributes, forms)
        if not below.is_inert:
            element.seen = _hash(element.name, *_as_ruled(element, below))


def _with_nodes(document: Element, node: Node) -> Iterator[tuple[Element, Node]]:
    stack = [(document, node)]
    while stack:
        element, at = stack.pop()
        yield element, at
        seen = Counter[Name]()
        for item in element.items:
            if type(item) is Element:
                seen[item.name] += 1
                below = at if at.is_inert else at.child(item.name).child(seen[item.name])
                stack.append((item, below))


def _as_ruled(element: Element, node: Node) -> tuple[dict[str, str], list[Any]]:
    """Return attributes and items as rules see them: without what is ignored, texts in their form.

    Items whose order does not matter stand in an order of their own.
    """
    attributes = {}
    for name, text in element.attributes.items():
        rule = node.child(name).rule
        if not rule.ignore:
            attributes[name] = leaves.string_form(text, rule)
    parts: dict[Any, list[Any]] = defaultdict(list)
    text_rule = merge(node.rule, node.child(TEXT).rule)
    for item in _items_of(element):
        group = _group(item, node)
        # A tuple stands for what is ignored.
        if type(group) is tuple:
            continue
        if type(item.value) is Element:
            parts[group].append(item.value.seen)
        else:
            parts[group].append(leaves.string_form(item.value, text_rule))
    for group, forms in parts.items():
        mode = None if group is None else node.child(group).rule.array
        if mode is ArrayMode.UNIQUE:
            forms[:] = {*forms}
        if mode in (ArrayMode.SET, ArrayMode.KEYED, ArrayMode.UNIQUE):
            forms.sort()
    return attributes, [[group, parts[group]] for group in sorted(parts, key=str)]


def _hash(name: str, attributes: dict[str, str], forms: list[Any]) -> bytes:
    # Sorted: the order of attributes says nothing (XML 1.0, section 3.1).
    listed = sorted((str(key), text) for key, text in attributes.items())
    text = repr((str(name), listed, forms))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
