"""Whether a new OpenAPI document accepts what the old one did."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from changeover.checks.openapi.compatibility import incompatibilities
from changeover.checks.openapi.documents import parse
from tests.support.openapi_changes import narrowings

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
     "GET /items/{}: body may not be string any more"),
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


CASES = Path(__file__).parents[2] / "cases" / "openapi"


def cases(name: str) -> list[Any]:
    """Return the cases of a file."""
    return [pytest.param(case["baseline"], case["candidate"], id=case["name"]) for case in
            parse((CASES / name).read_bytes(), name)["cases"]]


@pytest.mark.parametrize(("old", "new"), cases("narrowed.yaml"))
def test_hidden_narrowing_is_found(old: Json, new: Json) -> None:
    """A request that was valid and is refused now is found wherever the document hides it."""
    assert incompatibilities(old, new) != []


@pytest.mark.parametrize(("old", "new"), cases("accepted.yaml"))
def test_same_requests_otherwise_written_are_fine(old: Json, new: Json) -> None:
    """Documents that accept the same requests are compatible however they are written."""
    assert incompatibilities(old, new) == []


def test_every_mechanical_narrowing_of_an_old_document_is_found() -> None:
    """In Swagger 2.0 a parameter's own words are its schema."""
    old = parse((CASES / "swagger2.yaml").read_bytes(), "swagger2.yaml")
    every = list(narrowings(old))
    assert incompatibilities(old, copy.deepcopy(old)) == []
    assert [name for name, narrower in every if not incompatibilities(old, narrower())] == []


LEAVES = st.sampled_from([
    {"type": "string"}, {"type": "integer"}, {"type": "number", "maximum": 3}, {"type": "null"},
    {"enum": ["a", 1]}, {"enum": [1, 2, None]}, {"type": "string", "maxLength": 1}, {}, False,
    {"type": "integer", "minimum": 1, "exclusiveMaximum": 3}, {"type": "integer", "multipleOf": 2},
])
SCHEMAS = st.recursive(LEAVES, lambda parts: st.one_of(
    st.builds(lambda items: {"type": "array", "items": items}, parts),
    st.builds(lambda a, b, rest, required: {
        "type": "object", "properties": {"a": a, "b": b}, "additionalProperties": rest,
        "required": required}, parts, parts, parts, st.sampled_from([[], ["a"], ["a", "b"]])),
    st.builds(lambda word, listed: {word: listed}, st.sampled_from(["anyOf", "oneOf", "allOf"]),
              st.lists(parts, min_size=1, max_size=3)),
), max_leaves=6)
SCALARS: list[Any] = ["", "a", "bb", 0, 1, 2, 3, 4, 1.5, -1, None, True]
VALUES = st.recursive(st.sampled_from(SCALARS), lambda parts: st.one_of(
    st.lists(parts, max_size=2), st.dictionaries(st.sampled_from("abc"), parts)), max_leaves=4)


@given(SCHEMAS, SCHEMAS, st.lists(VALUES, max_size=30))
def test_what_is_called_included_takes_every_value(old: Any, new: Any, values: list[Any]) -> None:
    """Said to accept as much, a schema accepts every value that the old one accepts."""
    if incompatibilities(document(body(old)), document(body(new))):
        return
    before, after = Draft202012Validator(old), Draft202012Validator(new)
    for value in [*SCALARS, *values]:
        assert after.is_valid(value) or not before.is_valid(value), value


@given(SCHEMAS)
def test_a_schema_accepts_what_it_accepts(schema: Any) -> None:
    """Compared with itself, a schema is compatible."""
    assert incompatibilities(document(body(schema)), document(body(schema))) == []


def form(**more: Any) -> Json:
    """Return a document that takes a form with one file."""
    schema = {"type": "object", "properties": {"file": {"type": "string"}}}
    body = {"content": {"multipart/form-data": {"schema": schema, **more}}}
    return {"openapi": "3.1.0", "paths": {"/upload": {"post": {"requestBody": body}}}}


def test_what_the_parts_of_a_form_may_be_is_never_passed_over() -> None:
    """Whether fewer kinds of files are taken is for a person to say; the same is the same."""
    both, one = ({"file": {"contentType": kinds}}
                 for kinds in ("image/png, image/jpeg", "image/png"))
    assert incompatibilities(form(encoding=both), form(encoding=both)) == []
    assert incompatibilities(form(encoding=one), form()) == []
    for old in (form(encoding=both), form()):
        (found,) = incompatibilities(old, form(encoding=one))
        assert "POST /upload" in found and "cannot be decided here" in found
