"""Whether a new OpenAPI document accepts what the old one did."""

from __future__ import annotations

from typing import Any

import pytest

from changeover.validation.compatibility import incompatibilities

Json = dict[str, Any]


def document(operation: Json | None = None, path: str = "/items/{id}", **parts: Any) -> Json:
    """Return a document with one operation."""
    usual = {"parameters": [{"in": "path", "name": "id", "required": True,
                             "schema": {"type": "integer"}}]}
    return {"openapi": "3.1.0", "paths": {path: {"get": {**usual, **(operation or {})}}}, **parts}


def body(schema: Json, *, required: bool = True, kind: str = "application/json") -> Json:
    """Return an operation that takes a body."""
    return {"requestBody": {"required": required, "content": {kind: {"schema": schema}}}}


def query(name: str, **fields: Any) -> Json:
    """Return an operation with a query parameter."""
    return {"parameters": [{"in": "query", "name": name, **fields}]}


PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.mark.parametrize(("old", "new", "problem"), [
    (document(), {"paths": {}}, "GET /items/{} is missing"),
    (document(query("q")), document(query("q", required=True)),
     "GET /items/{}: query parameter q is required now"),
    (document(query("q")), document({"parameters": []}),
     "GET /items/{}: query parameter q is gone"),
    (document(query("q", schema={"type": ["string", "integer"]})),
     document(query("q", schema={"type": "integer"})),
     "GET /items/{}: query parameter q may not be string any more"),
    (document(query("q", schema={"enum": ["a", "b"]})),
     document(query("q", schema={"enum": ["a"]})),
     "GET /items/{}: query parameter q may not be b any more"),
    (document(body(PERSON, required=False)), document(body(PERSON)),
     "GET /items/{}: a body is required now"),
    (document(body(PERSON, kind="text/csv")), document(body(PERSON)),
     "GET /items/{}: a body of text/csv is not accepted any more"),
    (document(body({**PERSON, "required": []})), document(body(PERSON)),
     "GET /items/{}: body.name is required now"),
    (document(body(PERSON)),
     document(body({"type": "object", "properties": {}, "additionalProperties": False})),
     "GET /items/{}: body.name is refused now"),
    (document(body({"type": "array", "items": {"type": "string"}})),
     document(body({"type": "array", "items": {"type": "integer"}})),
     "GET /items/{}: body[] may not be string any more"),
    (document(body({})), document(body({"type": "integer"})),
     "GET /items/{}: body may not be array, boolean, null, number, object, string any more"),
    (document(query("q")), document(query("q", schema={"type": "integer"})),
     "GET /items/{}: query parameter q may not be string any more"),
    (document(body({"type": "object"})),
     document(body({"type": "object", "additionalProperties": False})),
     "GET /items/{}: body refuses further fields now"),
    (document(body({"type": "string"})), document(body({"type": "string", "format": "uuid"})),
     "GET /items/{}: body has the format uuid now"),
    (document(body({"type": "array"})),
     document(body({"type": "array", "items": {"type": "object"}})),
     "GET /items/{}: body[] may not be array, boolean, integer, null, number, string any more"),
    (document(body({"oneOf": [{"type": "string"}]})), document(body({"oneOf": []})),
     "GET /items/{}: the schema of body differs in oneOf"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_narrowing_is_named(old: Json, new: Json, problem: str) -> None:
    """Whatever was accepted and is not any more is one sentence."""
    assert incompatibilities(old, new) == [problem]


@pytest.mark.parametrize(("old", "new"), [
    (document(), document(path="/items/{key}")),
    (document(query("q", schema={"type": "integer"})),
     document(query("q", schema={"type": "number"}))),
    (document(query("q")), document(query("q", schema={"type": "string"}))),
    (document(body(PERSON)), document(body({**PERSON, "required": []}, required=False))),
    (document(body({"$ref": "#/components/schemas/P"}), components={"schemas": {"P": PERSON}}),
     document(body(PERSON))),
], ids=["renamed path parameter", "wider number", "text parameter", "less required", "reference"])
def test_widening_is_fine(old: Json, new: Json) -> None:
    """What accepts everything that was accepted is compatible."""
    assert incompatibilities(old, new) == []


def test_recursive_schemas_end() -> None:
    """A schema that contains itself is followed to a limit."""
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/T"}}}
    found = document(body({"$ref": "#/components/schemas/T"}), components={"schemas": {"T": tree}})
    assert incompatibilities(found, found) == []
