"""Does one schema accept every value that another one accepts?

Three answers: yes (no finding), no (a finding that is certain), and not decided here (a finding
that is not). Two schemas that are being compared count as included while their parts are
compared, so recursion ends (coinduction), and each pair is compared once, so the time is bounded
by the number of pairs. What the walk does not find included, jsonschema-rs may still prove.
A field that the old schema neither names nor describes is not compared: else every new optional
field would be a narrowing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from changeover.checks.openapi.flat import Flat, flat, widened
from changeover.checks.openapi.schemas import NOWHERE, Document, Schema, bundle, references, text
from changeover.checks.openapi.words import (
    OTHERS,
    Finding,
    limits,
    lost_types,
    lost_values,
    shared,
    undecided,
)

MOST_PAIRS = 50_000
MOST_BRANCHES = 64
DEEPEST_UNIONS = 4


@dataclass(slots=True)
class Comparison:
    """One comparison of two documents' schemas; remembers pairs.

    Args:
        prove: Whether a schema that stands alone covers another one, certainly.
    """

    old: Document
    new: Document
    prove: Callable[[Schema, Schema], bool]
    _known: dict[tuple[str, str], list[Finding]] = field(default_factory=dict)
    _open: dict[tuple[str, str], bool] = field(default_factory=dict)
    _same: dict[str, bool] = field(default_factory=dict)

    def compare(self, a: Schema, b: Schema, where: str) -> list[Finding]:
        """Return what `b` does not accept of what `a` accepts; none: it accepts all."""
        if b is True or b == {} or a is False or self._is_same(a, b):
            return []
        key = (text(a), text(b))
        # Met again within itself: taken for included, and noted that something rests on that.
        if key in self._open:
            self._open[key] = True
        if key not in self._known:
            if len(self._known) > MOST_PAIRS:
                return [undecided(where, "the documents are too large")]
            self._look(key, a, b)
        # A pair is met at many places: its sentences are kept with a mark for the place.
        found = []
        for one in self._known[key]:
            found.append(replace(one, sentence=one.sentence.replace("\0", where)))
        return found

    def _look(self, key: tuple[str, str], a: Schema, b: Schema) -> None:
        """Find out about a pair; what was found by taking it for included falls with it."""
        before = len(self._known)
        self._known[key], self._open[key] = [], False
        found = self._flat(flat(a, self.old), flat(b, self.new), "\0")
        if found and self.prove(bundle(a, self.old), bundle(b, self.new)):
            found = []
        # It is not included after all: what was found since then by taking it so is forgotten.
        if self._open.pop(key) and found:
            for later in list(self._known)[before:]:
                if later not in self._open:
                    del self._known[later]
        self._known[key] = found

    def _is_same(self, a: Schema, b: Schema) -> bool:
        # Equal words with references are the same only if these lead to the same, too.
        return text(a) == text(b) and all(map(self._leads_same, references(a)))

    def _leads_same(self, reference: str) -> bool:
        """Whether everything that can be reached from a reference is the same in both."""
        if reference not in self._same:
            seen, waiting, same = {reference}, [reference], True
            while waiting and same:
                name = waiting.pop()
                ours, theirs = self.old.target(name), self.new.target(name)
                leads_nowhere = isinstance(ours, dict) and NOWHERE in ours
                same = text(ours) == text(theirs) and not leads_nowhere
                fresh = references(ours) - seen
                seen |= fresh
                waiting += fresh
            self._same[reference] = same
        return self._same[reference]

    def _flat(self, a: Flat, b: Flat, where: str, depth: int = 0) -> list[Finding]:
        """Return what is narrowed between two conjunctions; unions of `a` are split."""
        if a.is_empty:
            return []
        if depth > DEEPEST_UNIONS:
            return [undecided(where, "too many unions in one another")]
        found = list(self._plain(a, b, where)) + self._unions(a, b, where, depth)
        if not found or not a.unions:
            return found
        (_, branches), rest = a.unions[0], replace(a, unions=a.unions[1:])
        apart: list[Finding] = []
        for branch in branches[:MOST_BRANCHES]:
            whole = _joined(rest, flat(branch, self.old))
            apart += self._flat(whole, b, where, depth + 1)
        if len(branches) > MOST_BRANCHES:
            apart.append(undecided(where, f"more than {MOST_BRANCHES} kinds"))
        return list(dict.fromkeys(apart))

    def _unions(self, a: Flat, b: Flat, where: str, depth: int) -> list[Finding]:
        found: list[Finding] = []
        for word, branches in b.unions:
            if self._has_union(a, word, branches) or self._only_more(a, word, branches):
                continue
            theirs = [flat(branch, self.new) for branch in branches]
            types = frozenset[str]()
            for side in theirs:
                types |= side.types
            accepted = Flat(types)
            lost = lost_types(a, accepted)
            if lost:
                listed = ", ".join(sorted(lost))
                found.append(Finding(f"{where} may not be {listed} any more"))
            for part in _by_type(a):
                if not lost or shared(part, accepted):
                    found += self._one_of(part, (word, theirs), where, depth)
        return found

    def _begins_same(self, ours: list[Schema], branches: list[Schema]) -> bool:
        """Whether the first branches are those that the old union has."""
        if len(ours) > len(branches):
            return False
        return all(map(self._is_same, ours, branches))

    def _has_union(self, a: Flat, word: str, branches: list[Schema]) -> bool:
        """Whether the old schema has the very same union."""
        for kind, ours in a.unions:
            is_as_long = kind == word and len(ours) == len(branches)
            if is_as_long and self._begins_same(ours, branches):
                return True
        return False

    def _only_more(self, a: Flat, word: str, branches: list[Schema]) -> bool:
        """Whether a `oneOf` only got branches that none of the others can be confused with."""
        # `anyOf` may grow as it likes. Of `oneOf`, a value that two branches accept is refused.
        if word != "oneOf":
            return False
        for kind, ours in a.unions:
            if kind == word and self._begins_same(ours, branches):
                known = [flat(branch, self.old) for branch in ours]
                extra = [flat(branch, self.new) for branch in branches[len(ours):]]
                pairs = itertools.product(known, extra)
                if all(self._are_apart(x, y) for x, y in pairs):
                    return True
        return False

    def _one_of(
        self, a: Flat, union: tuple[str, list[Flat]], where: str, depth: int
    ) -> list[Finding]:
        """Return why no branch accepts `a`, as the branch says that comes nearest."""
        word, theirs = union
        if a.is_empty:
            return []
        tries = [self._flat(a, branch, where, depth + 1) for branch in theirs]
        fitting = [place for place, found in enumerate(tries) if not found]
        if fitting:
            if word == "anyOf":
                return []
            # Of `oneOf`, a value that two parts accept is refused.
            if any(self._fits_alone(a, theirs, place) for place in fitting):
                return []
            return [undecided(where, "whether only one part of `oneOf` accepts it")]
        if a.unions:  # the caller splits it
            return [undecided(where, f"`{word}` differs")]
        near = []
        for found, branch in zip(tries, theirs, strict=True):
            if shared(a, branch):
                near.append(found)
        near = near or tries
        best = min(near, key=len)
        if len(near) == 1:
            return best
        # Several branches might have been meant: which one is narrower, nobody can say.
        return [Finding(one.sentence, False) for one in best]

    def _fits_alone(self, a: Flat, branches: list[Flat], place: int) -> bool:
        """Whether no other branch accepts anything of what the one at `place` accepts."""
        others = branches[:place] + branches[place + 1:]
        return all(self._are_apart(a, other) for other in others)

    def _are_apart(self, a: Flat, b: Flat) -> bool:
        """Whether no value is accepted by both, as far as types and constants tell."""
        if _are_disjoint(a, b):
            return True
        if a.values is not None and b.values is not None:
            return False
        for name in a.required & b.required:
            x, y = _field(a, name, self.old), _field(b, name, self.new)
            if _are_disjoint(x, y):
                return True
        return False

    def _plain(self, a: Flat, b: Flat, where: str) -> Iterator[Finding]:
        if lost := lost_types(a, b):
            yield Finding(f"{where} may not be {', '.join(sorted(lost))} any more")
        types = shared(a, b)
        if not types:
            return
        if b.values is not None:
            yield from lost_values(a, b, where)
        if a.values is None or b.values is None:
            yield from limits(a, b, types, where)
        yield from self._other(a, b, types, where)
        if "object" in types:
            yield from self._fields(a, b, where)
        if "array" in types:
            yield from self._items(a, b, where)

    def _other(self, a: Flat, b: Flat, types: frozenset[str], where: str) -> Iterator[Finding]:
        for word, value in b.other:
            said = a.said(word)
            if word != NOWHERE and any(self._is_same(value, ours) for ours in said):
                continue
            if word == NOWHERE:
                yield undecided(where, f"the reference {value} leads nowhere")
            elif word in OTHERS:
                applies, judge = OTHERS[word]
                if applies & types:
                    yield from judge(a, said, value, where)
            else:
                yield undecided(where, f"`{word}` differs")

    def _fields(self, a: Flat, b: Flat, where: str) -> Iterator[Finding]:
        for name in sorted(b.required - a.required):
            yield Finding(f"{where}.{name} is required now")
        refused = False
        for name in dict.fromkeys([*a.named, *b.named]):
            ours, theirs = _said_of(a, name), _said_of(b, name)
            # Neither named nor described: no client sends it.
            if not ours and name not in a.required:
                continue
            if False in theirs and False not in ours:
                refused = True
                yield Finding(f"{where}.{name} is refused now")
            else:
                yield from self.compare(_all(ours), _all(theirs), f"{where}.{name}")
        patterns: dict[str, None] = {}
        for part in [*a.fields, *b.fields]:
            patterns |= dict.fromkeys(part.patterns)
        for pattern in patterns:
            yield from self._pattern(a, b, pattern, where)
        ours, theirs = _rests(a), _rests(b)
        if False in theirs and False not in ours:
            # The fields that are refused were named; this sentence would only repeat it.
            if not refused:
                yield Finding(f"{where} refuses further fields now")
        else:
            yield from self.compare(_all(ours), _all(theirs), f"{where}.*")

    def _pattern(self, a: Flat, b: Flat, pattern: str, where: str) -> Iterator[Finding]:
        known = _said_by_pattern(a, pattern)
        if known:
            theirs = _all(_said_by_pattern(b, pattern))
            yield from self.compare(_all(known), theirs, f"{where}.{pattern}")

    def _items(self, a: Flat, b: Flat, where: str) -> Iterator[Finding]:
        longest = max((len(prefix) for prefix, _ in [*a.items, *b.items]), default=0)
        # One place more than is named: it stands for all items behind.
        for place in range(min(longest, 100) + 1):
            ours, theirs = _said_at(a, place), _said_at(b, place)
            name = f"{where}[{place}]" if place < longest else f"{where}[]"
            if a.bounds.get("maxItems", place + 1) > place:
                yield from self.compare(ours, theirs, name)


def _all(parts: list[Any]) -> Schema:
    """Return the schema that says all of these at once; what says nothing is left out."""
    by_text: dict[str, Any] = {}
    for part in parts:
        if part is not True and part != {}:
            by_text[text(part)] = part
    unique = list(by_text.values())
    if len(unique) == 1:
        return unique[0]  # type: ignore[no-any-return]
    return {"allOf": unique} if unique else {}


def _said_of(side: Flat, name: str) -> list[Schema]:
    """Return all that is said of an object's field."""
    found = []
    for part in side.fields:
        found += part.of(name)
    return found


def _said_by_pattern(side: Flat, pattern: str) -> list[Schema]:
    """Return all that is said of fields whose names match a pattern."""
    found = []
    for part in side.fields:
        said = part.patterns.get(pattern, part.rest)
        if said is not None:
            found.append(said)
    return found


def _rests(side: Flat) -> list[Schema]:
    """Return all that is said of fields that are neither named nor matched."""
    return [part.rest for part in side.fields if part.rest is not None]


def _said_at(side: Flat, place: int) -> Schema:
    """Return the schema of a list's item at a place."""
    found = []
    for prefix, rest in side.items:
        found.append(prefix[place] if place < len(prefix) else rest)
    return _all(found)


def _field(side: Flat, name: str, document: Document) -> Flat:
    """Return what an object's field has to be, as one conjunction."""
    return flat({"allOf": _said_of(side, name)}, document)


def _are_disjoint(a: Flat, b: Flat) -> bool:
    """Whether types or constants leave no value that both accept."""
    if not shared(a, b):
        return True
    if a.values is None or b.values is None:
        return False
    return not {*map(text, a.values)} & {*map(text, b.values)}


def _joined(a: Flat, b: Flat) -> Flat:
    """Return the conjunction of two."""
    types = widened(a.types) & widened(b.types)
    values = a.values if b.values is None else b.values
    if a.values is not None and b.values is not None:
        known = {*map(text, b.values)}
        values = [value for value in a.values if text(value) in known]
    bounds = dict(a.bounds)
    for word, value in b.bounds.items():
        # Both must hold: of two lower bounds the higher one counts.
        is_lower = word.lower().startswith(("min", "exclusivemin"))
        pick = max if is_lower else min
        bounds[word] = pick(bounds.get(word, value), value)
    never_sent = a.never_sent | b.never_sent
    required = (a.required | b.required) - never_sent
    return Flat(
        types, values, bounds, required, never_sent, a.fields + b.fields, a.items + b.items,
        a.unions + b.unions, a.other + b.other)


def _by_type(a: Flat) -> list[Flat]:
    """Split a conjunction by value or by type, since a union may accept each elsewhere."""
    if a.values is not None:
        first, rest = a.values[:MOST_BRANCHES], a.values[MOST_BRANCHES:]
        found = [replace(a, values=[value]) for value in first]
        return [*found, replace(a, values=rest)] if rest else found
    # Whole numbers are numbers: asked about once is enough.
    types = set(a.types)
    if "number" in types:
        types.discard("integer")
    return [replace(a, types=frozenset({name})) for name in sorted(types)]
