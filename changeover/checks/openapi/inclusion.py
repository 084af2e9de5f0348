"""Does one schema accept every value that another one accepts?

Three answers: yes (no finding), no (a finding that is certain), and not decided here (a finding
that is not). Two schemas that are being compared count as included while their parts are
compared, so recursion ends (coinduction), and each pair is compared once, so the time is bounded
by the number of pairs. What the walk does not find included, jsonschema-rs may still prove.
A field that the old schema neither names nor describes is not compared: else every new optional
field would be a narrowing.
"""

from __future__ import annotations

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
        if key in self._open:
            self._open[key] = True
        if key not in self._known:
            if len(self._known) > MOST_PAIRS:
                return [undecided(where, "the documents are too large")]
            self._look(key, a, b)
        return [replace(one, sentence=one.sentence.replace("\0", where))
                for one in self._known[key]]

    def _look(self, key: tuple[str, str], a: Schema, b: Schema) -> None:
        """Find out about a pair; what was found by taking it for included falls with it."""
        before = len(self._known)
        self._known[key], self._open[key] = [], False
        found = self._flat(flat(a, self.old), flat(b, self.new), "\0")
        if found and self.prove(bundle(a, self.old), bundle(b, self.new)):
            found = []
        if self._open.pop(key) and found:
            for later in list(self._known)[before:]:
                if later not in self._open:
                    del self._known[later]
        self._known[key] = found

    def _is_same(self, a: Schema, b: Schema) -> bool:
        return text(a) == text(b) and all(self._leads_same(name) for name in references(a))

    def _leads_same(self, reference: str) -> bool:
        """Whether everything that can be reached from a reference is the same in both."""
        if reference not in self._same:
            seen, waiting, same = {reference}, [reference], True
            while waiting and same:
                name = waiting.pop()
                ours, theirs = self.old.target(name), self.new.target(name)
                same = text(ours) == text(theirs) and not (
                    isinstance(ours, dict) and NOWHERE in ours)
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
            apart += self._flat(_joined(rest, flat(branch, self.old)), b, where, depth + 1)
        if len(branches) > MOST_BRANCHES:
            apart.append(undecided(where, f"more than {MOST_BRANCHES} kinds"))
        return list(dict.fromkeys(apart))

    def _unions(self, a: Flat, b: Flat, where: str, depth: int) -> list[Finding]:
        found: list[Finding] = []
        for word, branches in b.unions:
            if any(word == kind and len(branches) == len(ours) and all(
                self._is_same(x, y) for x, y in zip(ours, branches, strict=True)
            ) for kind, ours in a.unions):
                continue
            if self._only_more(a, word, branches):
                continue
            theirs = [flat(branch, self.new) for branch in branches]
            accepted = Flat(frozenset[str]().union(*(side.types for side in theirs)))
            lost = lost_types(a, accepted)
            if lost:
                found.append(Finding(f"{where} may not be {', '.join(sorted(lost))} any more"))
            for part in _by_type(a):
                if not lost or shared(part, accepted):
                    found += self._one_of(part, (word, theirs), where, depth)
        return found

    def _only_more(self, a: Flat, word: str, branches: list[Schema]) -> bool:
        """Whether a `oneOf` only got branches that none of the others can be confused with."""
        if word != "oneOf":
            return False
        for kind, ours in a.unions:
            extra = branches[len(ours):]
            if kind == word and len(ours) <= len(branches) and all(
                self._is_same(x, y) for x, y in zip(ours, branches, strict=False)
            ) and all(self._are_apart(flat(x, self.old), flat(y, self.new))
                      for x in ours for y in extra):
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
        fitting = [i for i, found in enumerate(tries) if not found]
        if fitting:
            if word == "anyOf" or any(all(
                self._are_apart(a, other) for j, other in enumerate(theirs) if j != i
            ) for i in fitting):
                return []
            return [undecided(where, "whether only one part of `oneOf` accepts it")]
        if a.unions:  # the caller splits it
            return [undecided(where, f"`{word}` differs")]
        near = [found for found, branch in zip(tries, theirs, strict=True)
                if shared(a, branch)] or tries
        best = min(near, key=len)
        return best if len(near) == 1 else [Finding(one.sentence, False) for one in best]

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
            ours = [value for part in a.fields for value in part.of(name)]
            if not ours and name not in a.required:
                continue  # neither named nor described: no client sends it
            theirs = [value for part in b.fields for value in part.of(name)]
            if False in theirs and False not in ours:
                refused = True
                yield Finding(f"{where}.{name} is refused now")
            else:
                yield from self.compare(_all(ours), _all(theirs), f"{where}.{name}")
        for pattern in dict.fromkeys(p for part in [*a.fields, *b.fields] for p in part.patterns):
            yield from self._pattern(a, b, pattern, where)
        ours, theirs = ([part.rest for part in side.fields if part.rest is not None]
                        for side in (a, b))
        if False in theirs and False not in ours:
            if not refused:
                yield Finding(f"{where} refuses further fields now")
        else:
            yield from self.compare(_all(ours), _all(theirs), f"{where}.*")

    def _pattern(self, a: Flat, b: Flat, pattern: str, where: str) -> Iterator[Finding]:
        ours, theirs = ([part.patterns.get(pattern, part.rest)
                         for part in side.fields] for side in (a, b))
        known = [one for one in ours if one is not None]
        if known:
            yield from self.compare(_all(known), _all([x for x in theirs if x is not None]),
                                    f"{where}.{pattern}")

    def _items(self, a: Flat, b: Flat, where: str) -> Iterator[Finding]:
        longest = max((len(prefix) for prefix, _ in [*a.items, *b.items]), default=0)
        for place in range(min(longest, 100) + 1):
            ours, theirs = (_all([prefix[place] if place < len(prefix) else rest
                                  for prefix, rest in side.items]) for side in (a, b))
            name = f"{where}[{place}]" if place < longest else f"{where}[]"
            if a.bounds.get("maxItems", place + 1) > place:
                yield from self.compare(ours, theirs, name)


def _all(parts: list[Any]) -> Schema:
    unique = list({text(part): part for part in parts if part is not True and part != {}}.values())
    if len(unique) == 1:
        return unique[0]  # type: ignore[no-any-return]
    return {"allOf": unique} if unique else {}


def _field(side: Flat, name: str, document: Document) -> Flat:
    """Return what an object's field has to be, as one conjunction."""
    parts = [schema for part in side.fields for schema in part.of(name)]
    return flat({"allOf": parts}, document)


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
    values = a.values if b.values is None else b.values if a.values is None else [
        value for value in a.values if text(value) in {*map(text, b.values)}]
    bounds = dict(a.bounds)
    for word, value in b.bounds.items():
        pick = max if word.lower().startswith(("min", "exclusivemin")) else min
        bounds[word] = pick(bounds.get(word, value), value)
    never_sent = a.never_sent | b.never_sent
    return Flat(types, values, bounds,
                (a.required | b.required) - never_sent, never_sent,
                a.fields + b.fields, a.items + b.items, a.unions + b.unions, a.other + b.other)


def _by_type(a: Flat) -> list[Flat]:
    """Split a conjunction by value or by type, since a union may accept each elsewhere."""
    if a.values is not None:
        first, rest = a.values[:MOST_BRANCHES], a.values[MOST_BRANCHES:]
        found = [replace(a, values=[value]) for value in first]
        return [*found, replace(a, values=rest)] if rest else found
    types = a.types - ({"integer"} if "number" in a.types else set())
    return [replace(a, types=frozenset({name})) for name in sorted(types)]
