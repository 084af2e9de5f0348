"""Does a new OpenAPI document accept what the old one accepted? Pure.

Every operation of the baseline must exist, and no request that was valid may become invalid:
nothing new is required, no type, enumeration or content type is narrowed. A schema that uses more
than this understands (`allOf`, `oneOf`, patterns) is compared for equality and named when it
differs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
METHODS = ("get", "head", "options", "post", "put", "patch", "delete", "trace")
_DEEPEST = 12
_UNDERSTOOD = {"type", "properties", "required", "enum", "items", "nullable", "description",
               "title", "example", "examples", "default", "format", "additionalProperties",
               "deprecated", "readOnly"}
_TEXT = {"type": "string"}  # what a parameter without a schema is
_ALL_TYPES = {"string", "number", "integer", "boolean", "array", "object", "null"}


def incompatibilities(baseline: Json, candidate: Json) -> list[str]:
    """Return one sentence for each thing that the candidate accepts no more."""
    ours, theirs = (_operations(document) for document in (baseline, candidate))
    problems: list[str] = []
    for key, operation in ours.items():
        if key not in theirs:
            problems.append(f"{key} is missing")
            continue
        problems += [f"{key}: {text}" for text in
                     _narrowed(operation, baseline, theirs[key], candidate)]
    return problems


def _operations(document: Json) -> dict[str, Json]:
    """Return operations by `METHOD /path/{}`; parameters of a path are added to each."""
    found = {}
    for path, item in (document.get("paths") or {}).items():
        common = item.get("parameters", [])
        for method in METHODS:
            if isinstance(item.get(method), dict):
                operation = dict(item[method])
                operation["parameters"] = [*common, *operation.get("parameters", [])]
                found[f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}"] = operation
    return found


def _narrowed(old: Json, old_document: Json, new: Json, new_document: Json) -> Iterator[str]:
    ours = _parameters(old, old_document)
    theirs = _parameters(new, new_document)
    for place, parameter in theirs.items():
        was = ours.get(place)
        if parameter.get("required") and not (was and was.get("required")) and place[0] != "path":
            yield f"{place[0]} parameter {place[1]} is required now"
        if was is not None:
            yield from _schema(was.get("schema") or _TEXT, old_document,
                               parameter.get("schema", {}), new_document,
                               f"{place[0]} parameter {place[1]}")
    yield from (f"{place[0]} parameter {place[1]} is gone" for place in ours if place not in theirs)
    yield from _body(_deref(old.get("requestBody", {}), old_document), old_document,
                     _deref(new.get("requestBody", {}), new_document), new_document)


def _parameters(operation: Json, document: Json) -> dict[tuple[str, str], Json]:
    """Return parameters by place; those of the path by their order, since names do not matter."""
    found: dict[tuple[str, str], Json] = {}
    position = 0
    for raw in operation["parameters"]:
        parameter = _deref(raw, document)
        place, name = str(parameter.get("in", "")), str(parameter.get("name", ""))
        if place == "path":
            name, position = str(position), position + 1
        found[place, name] = parameter
    return found


def _body(old: Json, old_document: Json, new: Json, new_document: Json) -> Iterator[str]:
    if new.get("required") and not old.get("required"):
        yield "a body is required now"
    kinds = new.get("content", {})
    for kind, content in old.get("content", {}).items():
        if kind not in kinds:
            yield f"a body of {kind} is not accepted any more"
            continue
        yield from _schema(content.get("schema", {}), old_document,
                           kinds[kind].get("schema", {}), new_document, "body")


def _schema(
    old: Json, old_document: Json, new: Json, new_document: Json, where: str, depth: int = 0
) -> Iterator[str]:
    """Yield how a schema was narrowed; recursive documents are followed to a limit."""
    old, new = _deref(old, old_document), _deref(new, new_document)
    if not new or depth > _DEEPEST:
        return
    if (set(old) | set(new)) - _UNDERSTOOD:
        if _plain(old) != _plain(new):
            yield f"the schema of {where} differs in {', '.join(_differing(old, new))}"
        return
    if lost := _lost_types(old, new):
        yield f"{where} may not be {', '.join(sorted(lost))} any more"
        return
    if new.get("format") not in (None, old.get("format")):
        yield f"{where} has the format {new['format']} now"
    if "enum" in new and (gone := [v for v in old.get("enum", ["any"]) if v not in new["enum"]]):
        yield f"{where} may not be {', '.join(map(str, gone))} any more"
    yield from _fields(old, old_document, new, new_document, where, depth + 1)
    if "items" in new:
        yield from _schema(old.get("items", {}), old_document, new["items"], new_document,
                           f"{where}[]", depth + 1)


def _fields(
    old: Json, old_document: Json, new: Json, new_document: Json, where: str, depth: int
) -> Iterator[str]:
    """Yield how an object's fields were narrowed."""
    for name in sorted(set(new.get("required", [])) - set(old.get("required", []))):
        yield f"{where}.{name} is required now"
    ours, theirs = old.get("properties", {}), new.get("properties", {})
    for name, part in ours.items():
        yield from _schema(part, old_document, theirs.get(name, {}), new_document,
                           f"{where}.{name}", depth)
    if new.get("additionalProperties") is not False:
        return
    gone = [name for name in ours if name not in theirs]
    yield from (f"{where}.{name} is refused now" for name in gone)
    if not gone and old.get("additionalProperties") is not False:
        yield f"{where} refuses further fields now"


def _lost_types(old: Json, new: Json) -> set[str]:
    """Return the types that are not accepted any more; a schema without types takes all."""
    theirs = _types(new)
    if not theirs:
        return set()
    taken = theirs | ({"integer"} if "number" in theirs else set())
    return (_types(old) or _ALL_TYPES) - taken


def _types(schema: Json) -> set[str]:
    found = schema.get("type", [])
    types = {found} if isinstance(found, str) else set(found)
    return types | ({"null"} if schema.get("nullable") else set())


def _plain(schema: Json) -> Json:
    """Return a schema without what is said for people only."""
    return {key: value for key, value in schema.items()
            if key not in ("description", "title", "example", "examples", "default")}


def _differing(old: Json, new: Json) -> list[str]:
    a, b = _plain(old), _plain(new)
    return sorted(key for key in {*a, *b} if a.get(key) != b.get(key))


def _deref(node: Any, document: Json) -> Json:
    """Follow a local reference; what leads nowhere is empty."""
    for _ in range(_DEEPEST):
        if not isinstance(node, dict):
            return {}
        if "$ref" not in node:
            return node
        target: Any = document
        for part in str(node["$ref"]).removeprefix("#/").split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            target = target.get(part) if isinstance(target, dict) else None
        node = target
    return {}
