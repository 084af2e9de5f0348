"""A schema as one conjunction: `allOf` merged, references followed, unions beside it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from changeover.checks.openapi.schemas import NEVER_SENT, TYPES, Document, Json, Schema, text

ALL = frozenset(TYPES)
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_PLAIN = {"type", "enum", "const", "required", "properties", "patternProperties",
          "additionalProperties", "items", "prefixItems", "allOf", "anyOf", "oneOf", "$ref",
          NEVER_SENT,
          *_LOWER, *_UPPER}


@dataclass(slots=True)
class Fields:
    """What one part of a conjunction says of an object's fields; `rest` None: nothing said."""

    named: dict[str, Schema]
    patterns: dict[str, Schema]
    rest: Schema | None

    def of(self, name: str) -> list[Schema]:
        """Return what a field's value has to be."""
        found = [self.named[name]] if name in self.named else []
        for pattern, part in self.patterns.items():
            if _matches(pattern, name):
                found.append(part)
        # Only of what is neither named nor matched does `additionalProperties` speak.
        if not found and self.rest is not None:
            found = [self.rest]
        return found


@dataclass(slots=True)
class Flat:
    """A conjunction. `values` None: any; `other` are words that are compared as text or proved."""

    types: frozenset[str] = ALL
    values: list[Any] | None = None
    bounds: dict[str, Any] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    never_sent: set[str] = field(default_factory=set)
    fields: list[Fields] = field(default_factory=list)
    items: list[tuple[list[Schema], Schema]] = field(default_factory=list)
    unions: list[tuple[str, list[Schema]]] = field(default_factory=list)
    other: list[tuple[str, Any]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is accepted."""
        return not self.types or self.values == []

    @property
    def named(self) -> list[str]:
        """Return every field that is named, in order."""
        found: dict[str, None] = {}
        for part in self.fields:
            found |= dict.fromkeys(part.named)
        return list(found)

    def said(self, word: str) -> list[Any]:
        """Return what is said by a word that is compared as text."""
        return [value for key, value in self.other if key == word]


def flat(schema: Schema, document: Document) -> Flat:
    """Return a schema as one conjunction; unions stay as they are."""
    result = Flat()
    for part in _conjuncts(schema, document, set()):
        _add(result, part)
    result.required -= result.never_sent
    # A field that is required and refused leaves no object that is accepted.
    for fields in result.fields:
        if any(fields.named.get(name) is False for name in result.required):
            result.types -= {"object"}
    if result.values is not None:
        types = result.types
        result.values = [value for value in result.values if types_of(value) & types]
    return result


def _conjuncts(schema: Schema, document: Document, seen: set[str]) -> Iterator[Schema]:
    if isinstance(schema, bool):
        yield schema
        return
    if isinstance(reference := schema.get("$ref"), str):
        # A reference that leads back to itself adds no condition.
        if reference not in seen:
            seen.add(reference)
            yield from _conjuncts(document.target(reference), document, seen)
        return
    for part in schema.get("allOf", []):
        yield from _conjuncts(part, document, seen)
    # A choice of one is no choice.
    for word in ("anyOf", "oneOf"):
        if len(schema.get(word, [])) == 1:
            yield from _conjuncts(schema[word][0], document, seen)
    yield schema


def _add(result: Flat, part: Schema) -> None:
    if part is True:
        return
    if part is False:
        result.types = frozenset()
        return
    assert isinstance(part, dict)  # noqa: S101  for mypy: a schema is nothing else
    if "type" in part:
        listed = part["type"] if isinstance(part["type"], list) else [part["type"]]
        result.types = widened(result.types) & widened(frozenset(map(str, listed)))
    if isinstance(part.get("enum"), list):
        _add_values(result, part["enum"])
    if "const" in part:
        _add_values(result, [part["const"]])
    for words, pick in ((_LOWER, max), (_UPPER, min)):
        for word in words:
            if isinstance(part.get(word), int | float):
                result.bounds[word] = pick(result.bounds.get(word, part[word]), part[word])
    result.required |= set(part.get("required", []))
    result.never_sent |= set(part.get(NEVER_SENT, []))
    _add_parts(result, part)


def _add_values(result: Flat, values: list[Any]) -> None:
    """Leave only the values that every part of the conjunction names."""
    if result.values is None:
        result.values = values
        return
    # As texts: Python calls `1` and `true` equal, JSON does not.
    known = {text(value) for value in values}
    result.values = [value for value in result.values if text(value) in known]


def _add_parts(result: Flat, part: Json) -> None:
    if part.keys() & {"properties", "patternProperties", "additionalProperties"}:
        named = part.get("properties", {})
        patterns = part.get("patternProperties", {})
        rest = part.get("additionalProperties")
        result.fields.append(Fields(named, patterns, rest))
    if part.keys() & {"items", "prefixItems"}:
        result.items.append((part.get("prefixItems", []), part.get("items", True)))
    for word in ("anyOf", "oneOf"):
        branches = part.get(word)
        # A single one was merged as a conjunct.
        if isinstance(branches, list) and len(branches) != 1:
            result.unions.append((word, branches))
    for word, value in part.items():
        if word not in _PLAIN:
            result.other.append((word, value))


def widened(types: frozenset[str]) -> frozenset[str]:
    """Return types with `integer` where `number` is one: whole numbers are numbers."""
    return types | {"integer"} if "number" in types else types


def types_of(value: Any) -> frozenset[str]:
    """Return the types that a value has; a whole number has two."""
    if isinstance(value, bool):
        return frozenset({"boolean"})
    is_whole_float = isinstance(value, float) and value.is_integer()
    if isinstance(value, int) or is_whole_float:
        return frozenset({"integer", "number"})
    return frozenset({_TYPE_NAMES.get(type(value), "string")})


_TYPE_NAMES: dict[type, str] = {
    float: "number", str: "string", list: "array", dict: "object", type(None): "null",
}


def _matches(pattern: str, name: str) -> bool:
    try:
        return re.search(pattern, name) is not None
    # Patterns are of JavaScript: one that Python cannot read may match.
    except re.error:
        return True
