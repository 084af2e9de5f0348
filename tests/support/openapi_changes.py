"""Mechanical changes of an OpenAPI document, each of which refuses something that was accepted."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
Change = tuple[str, Callable[[Json], Any]]
METHODS = ("get", "put", "post", "patch", "delete", "head", "options", "trace")


def lookup(document: Json, reference: str) -> Any:
    """Return what a local reference leads to."""
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def request_schemas(document: Json) -> list[list[str | int]]:
    """Return the path of every schema that a request can reach, each once."""
    found: dict[int, list[str | int]] = {}
    waiting: list[tuple[Any, list[str | int]]] = [*reversed([*_starts(document)])]
    while waiting:
        node, path = waiting.pop()
        if not isinstance(node, dict) or id(node) in found:
            continue
        if "$ref" in node:
            name = node["$ref"].removeprefix("#/").split("/")
            waiting.append((lookup(document, node["$ref"]), [*name]))
            continue
        found[id(node)] = path
        waiting += [(part, [*path, *more]) for part, more in _parts(document, node)]
    return list(found.values())


def _parts(document: Json, node: Json) -> Iterator[tuple[Any, list[str | int]]]:
    for word in ("properties", "patternProperties"):
        yield from ((part, [word, name]) for name, part in node.get(word, {}).items()
                    if not part.get("readOnly"))
    yield from ((node.get(word), [word]) for word in ("items", "additionalProperties"))
    for word in ("allOf", "anyOf", "oneOf"):
        listed = node.get(word, [])
        yield from ((part, [word, place]) for place, part in enumerate(listed)
                    if word == "allOf" or not is_covered(
                        document, part, _others(listed, place)))


def _others(listed: list[Any], place: int) -> list[Any]:
    return listed[:place] + listed[place + 1:]


def is_covered(document: Json, part: Json, others: list[Json]) -> bool:
    """Whether another branch of a union accepts what this one does: narrowing it says nothing."""
    one = _plain(document, part)
    for other in (_plain(document, other) for other in others):
        if other in ({}, one, {"type": one.get("type")}):
            return True
        if (one.get("type"), other.get("type")) == ("integer", "number"):
            return True
        if one.get("type") == other.get("type") == "array" and is_covered(
            document, one.get("items", {}), [other.get("items", {})]
        ):
            return True
    return False


def _plain(document: Json, schema: Json) -> Json:
    found = lookup(document, schema["$ref"]) if "$ref" in schema else schema
    return {key: part for key, part in found.items() if key not in ("title", "description")}


def _starts(document: Json) -> Iterator[tuple[Any, list[str | int]]]:
    for path, method, operation in operations(document):
        start: list[str | int] = ["paths", path, method]
        for place, parameter in enumerate(operation.get("parameters", [])):
            own = [*start, "parameters", place]
            yield (parameter["schema"], [*own, "schema"]) if "schema" in parameter \
                else (parameter, own)
        for kind, media in operation.get("requestBody", {}).get("content", {}).items():
            yield media.get("schema"), [*start, "requestBody", "content", kind, "schema"]


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield path, method and operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def narrowings(document: Json) -> Iterator[tuple[str, Callable[[], Json]]]:
    """Yield a sentence and what makes a narrower document, for every place and kind of change."""
    def changed(path: list[str | int], change: Callable[[Json], Any]) -> Callable[[], Json]:
        def make() -> Json:
            narrower = copy.deepcopy(document)
            change(at(narrower, path))
            return narrower
        return make

    for path in request_schemas(document):
        for name, change in schema_changes(document, at(document, path)):
            yield f"{'/'.join(map(str, path))}: {name}", changed(path, change)
    for where, method, operation in operations(document):
        for name, change in operation_changes(operation):
            yield f"{method} {where}: {name}", changed(["paths", where, method], change)
        yield f"{method} {where}: gone", changed(
            ["paths", where], lambda item, method=method: item.pop(method))


def at(document: Json, path: list[str | int]) -> Any:
    """Return what stands at a path."""
    node: Any = document
    for part in path:
        node = node[part]
    return node


def schema_changes(document: Json, schema: Json) -> Iterator[Change]:
    """Yield the narrowings that a schema can take."""
    kind = schema.get("type")
    values = schema.get("enum")
    if values and len(values) > 1:
        yield "a value less", lambda node: node["enum"].pop()
    for word in ("anyOf", "oneOf"):
        listed = schema.get(word, [])
        if len(listed) > 1 and not is_covered(document, listed[-1], listed[:-1]):
            yield f"{word} without its last", lambda node, word=word: node[word].pop()
    if kind == "object" or "properties" in schema:
        yield from _object_changes(schema)
    if kind in ("string", "integer", "number", "array", "boolean") and not values \
            and "const" not in schema:
        other = {"string": "integer", "number": "integer", "integer": "boolean",
                 "array": "boolean", "boolean": "integer"}[kind]
        yield f"{kind} to {other}", lambda node: node.update(type=other)
        yield from _limit_changes(kind, schema)


def _object_changes(schema: Json) -> Iterator[Change]:
    for name, part in schema.get("properties", {}).items():
        if name not in schema.get("required", []) and not part.get("readOnly"):
            yield f"{name} required", lambda node, name=name: node.update(
                required=[*node.get("required", []), name])
            break
    if schema.get("properties"):
        def closed(node: Json) -> None:
            node["properties"].popitem()
            node["additionalProperties"] = False
        last = list(schema["properties"])[-1]
        if not schema["properties"][last].get("readOnly"):
            yield "a field less, and no others", closed
    values = schema.get("additionalProperties")
    if values is True or (isinstance(values, dict) and values.get("type") != "null"):
        yield "values of a map", lambda node: node.update(additionalProperties={"type": "null"})


def _limit_changes(kind: str, schema: Json) -> Iterator[Change]:
    limits = {"string": ("maxLength", 3), "integer": ("maximum", 5), "number": ("maximum", 5),
              "array": ("maxItems", 2)}
    if kind in limits:
        word, bound = limits[kind]
        lower = schema.get(word.replace("max", "min"), 0)
        tight = max(lower, min(bound, schema.get(word, bound + 1) - 1))
        if tight < schema.get(word, tight + 1):
            yield f"{word} {tight}", lambda node: node.update({word: tight})


def operation_changes(operation: Json) -> Iterator[Change]:
    """Yield the narrowings that an operation can take."""
    yield "a required parameter more", lambda node: node.update(parameters=[
        *node.get("parameters", []),
        {"in": "query", "name": "zz", "required": True, "schema": {"type": "string"}}])
    body = operation.get("requestBody", {})
    if body.get("content"):
        yield "a media type less", lambda node: node["requestBody"]["content"].popitem()
        if not body.get("required"):
            yield "a body is required", lambda node: node["requestBody"].update(required=True)
