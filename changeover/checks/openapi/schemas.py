"""Schemas of OpenAPI 2.0, 3.0 and 3.1 in one form, that of JSON Schema 2020-12. Pure.

What is said for people only is left out. A field that is `readOnly` is never in a request, so its
schema is `false` and it is not required (OpenAPI 3.0.3, "Schema Object", fixed fields).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

Json = dict[str, Any]
Schema = Json | bool
# The word of a reference that leads nowhere.
NOWHERE = "$nowhere"
# The word of how the parts of a form are written; no schema has it.
ENCODING = "$encoding"
# The word that names the fields that are read only.
NEVER_SENT = "$neverSent"
TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_SAID = {"title", "description", "default", "example", "examples", "deprecated", "externalDocs",
         "xml", "discriminator", "$comment", "$schema", "$id", "$anchor", "writeOnly", "nullable",
         "readOnly", "contentEncoding", "contentMediaType", "contentSchema", "definitions",
         "$defs", "collectionFormat", "allowEmptyValue", "in", "name", "style", "explode"}
_MAPS = ("properties", "patternProperties", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_PARTS = ("items", "additionalProperties", "not", "if", "then", "else", "contains",
          "propertyNames", "unevaluatedProperties", "unevaluatedItems")
# They refuse nothing.
_WIDE = {"int64", "double", "float", "password", "binary"}


@dataclass(slots=True)
class Document:
    """One document and its schemas as they were read, by reference."""

    content: Json
    _known: dict[str, Schema] = field(default_factory=dict)

    @property
    def is_old(self) -> bool:
        """Whether it is of a version where words beside `$ref` mean nothing (2.0, 3.0)."""
        version = str(self.content.get("openapi") or self.content.get("swagger") or "")
        return version.startswith(("2", "3.0"))

    def lookup(self, reference: str) -> Any:
        """Return what a reference inside the document leads to; None: nowhere."""
        if reference == "#":
            return self.content
        if not reference.startswith("#/"):
            return None
        node: Any = self.content
        for part in reference[2:].split("/"):
            # `~1` first: the other way round `~01` would become a slash (RFC 6901, section 4).
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and name.isdigit() and int(name) < len(node):
                node = node[int(name)]
            else:
                node = node.get(name) if isinstance(node, dict) else None
        return node

    def follow(self, node: Any) -> Json:
        """Return the object behind references (parameter, body, path item); empty: nowhere."""
        seen: set[str] = set()
        while isinstance(node, dict) and isinstance(node.get("$ref"), str):
            reference = node["$ref"]
            if reference in seen:
                return {}
            seen.add(reference)
            beside = self._beside(node)
            target = self.lookup(reference)
            if target is None:
                return {NOWHERE: reference}
            node = {**target, **beside} if isinstance(target, dict) else {}
        return node if isinstance(node, dict) else {}

    def _beside(self, node: Json) -> Json:
        """Return the words beside a reference; before 3.1 they mean nothing."""
        if self.is_old:
            return {}
        return {word: part for word, part in node.items() if word != "$ref"}

    def target(self, reference: str) -> Schema:
        """Return the schema that a reference leads to, read once."""
        if reference not in self._known:
            found = self.lookup(reference)
            self._known[reference] = {NOWHERE: reference} if found is None else self.read(found)
        return self._known[reference]

    def read(self, node: Any) -> Schema:
        """Return a schema in the one form; references stay references."""
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            return {}
        if isinstance(reference := node.get("$ref"), str):
            beside = self._read_words(self._beside(node))
            if not beside:
                return {"$ref": reference}
            return {"allOf": [{"$ref": reference}, beside]}
        return self._read_words(node)

    def _read_words(self, node: Json) -> Schema:
        result = self._read_parts(node)
        # A discriminator names the branch, so no value can be in two of them by accident.
        if "oneOf" in result and isinstance(node.get("discriminator"), dict):
            result["anyOf"] = [*result.get("anyOf", []), *result.pop("oneOf")]
        never_sent = []
        for name, part in _fields(node).items():
            if self._is_read_only(part):
                never_sent.append(name)
        _require(result, node, never_sent)
        return _nullable(_bounds(result), node)

    def _read_parts(self, node: Json) -> Json:
        """Return the words of a schema that mean something, each part in the one form."""
        result: Json = {}
        for key, part in node.items():
            # YAML's empty `items:` is null and says nothing; a `const` may really be null.
            if part is None and key != "const":
                continue
            if key in _MAPS and isinstance(part, dict):
                result[key] = {name: self._read_field(value) for name, value in part.items()}
            elif key in _LISTS and isinstance(part, list):
                result[key] = [self.read(value) for value in part]
            # Before 3.1 a list of `items` was what `prefixItems` is now.
            elif key == "items" and isinstance(part, list):
                result["prefixItems"] = [self.read(value) for value in part]
            elif key in _PARTS:
                result[key] = self.read(part)
            elif key not in _SAID and not key.startswith("x-"):
                result[key] = part
        return result

    def _read_field(self, node: Any) -> Schema:
        return False if self._is_read_only(node) else self.read(node)

    def _is_read_only(self, node: Any, depth: int = 0) -> bool:
        if not isinstance(node, dict) or depth > 20:
            return False
        if node.get("readOnly") is True and not (self.is_old and "$ref" in node):
            return True
        if isinstance(reference := node.get("$ref"), str):
            return self._is_read_only(self.lookup(reference), depth + 1)
        parts = node.get("allOf")
        if not isinstance(parts, list):
            return False
        return any(self._is_read_only(part, depth + 1) for part in parts)


def _fields(node: Json) -> Json:
    found = node.get("properties")
    return found if isinstance(found, dict) else {}


def _require(result: Json, node: Json, never_sent: list[str]) -> None:
    """Write down which fields a request has to have, and which it never has."""
    result.pop("required", None)
    required = node.get("required")
    if isinstance(required, list):
        names = {*map(str, required)} - {*never_sent}
        if names:
            result["required"] = sorted(names)
    if never_sent:
        result[NEVER_SENT] = sorted(never_sent)


def _bounds(schema: Json) -> Json:
    """Write exclusive bounds as numbers, int32 as bounds, and drop formats that refuse nothing."""
    for exclusive, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        # Up to 3.0 it is a flag beside the bound, from 3.1 on the bound itself.
        is_flag = isinstance(schema.get(exclusive), bool)
        if is_flag and schema.pop(exclusive) and plain in schema:
            schema[exclusive] = schema.pop(plain)
    if schema.get("format") == "int32":
        del schema["format"]
        schema["minimum"] = max(schema.get("minimum", -2**31), -2**31)
        schema["maximum"] = min(schema.get("maximum", 2**31 - 1), 2**31 - 1)
    if schema.get("format") in _WIDE:
        del schema["format"]
    if schema.get("type") == "file":
        schema["type"] = "string"
    return schema


def _nullable(schema: Json, node: Json) -> Schema:
    if node.get("nullable") is not True:
        return schema
    types = schema.get("type")
    if types is None:
        return {"anyOf": [schema, {"type": "null"}]} if schema else schema
    listed = types if isinstance(types, list) else [types]
    return {**schema, "type": [*listed, "null"]}


def text(value: Any) -> str:
    """Return a value as text that is equal for equal values."""
    return json.dumps(value, sort_keys=True, default=str)


def references(schema: Any) -> set[str]:
    """Return the references in a schema that was read."""
    found: set[str] = set()
    if isinstance(schema, list):
        for part in schema:
            found |= references(part)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            found.add(schema["$ref"])
        for word, part in schema.items():
            # What stands there are values: a `$ref` among them is a value as well.
            if word not in ("enum", "const"):
                found |= references(part)
    return found


def bundle(schema: Schema, document: Document) -> Schema:
    """Return a schema that stands alone: what it refers to is under `$defs`."""
    waiting, definitions = references(schema), {}
    while waiting:
        reference = waiting.pop()
        if reference not in definitions:
            definitions[reference] = document.target(reference)
            waiting |= references(definitions[reference])
    if not definitions:
        return schema
    # Sorted, so that the same schema is the same text each time.
    moves, moved = {}, {}
    for number, reference in enumerate(sorted(definitions)):
        moves[reference] = f"#/$defs/{number}"
    for number, reference in enumerate(sorted(definitions)):
        moved[str(number)] = _moved(definitions[reference], moves)
    return {"allOf": [_moved(schema, moves)], "$defs": moved}


def _moved(node: Any, moves: dict[str, str]) -> Any:
    """Return a schema whose references lead to where their targets were moved."""
    if isinstance(node, list):
        return [_moved(part, moves) for part in node]
    if not isinstance(node, dict):
        return node
    result = {}
    for word, part in node.items():
        if word == "$ref" and isinstance(part, str):
            result[word] = moves.get(part, part)
        elif word in ("enum", "const"):
            result[word] = part
        else:
            result[word] = _moved(part, moves)
    return result
