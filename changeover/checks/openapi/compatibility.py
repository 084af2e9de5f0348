"""Does a new OpenAPI document accept every request that the old one accepted?

Every operation of the baseline has to exist and accept the same parameters and bodies; answers are
not compared here (schemathesis holds the candidate's answers against its own document). Started as
a program (`python -m`), so that a check can end it in time whatever the documents are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema_rs

from changeover.checks.openapi.flat import ALL, flat
from changeover.checks.openapi.inclusion import Comparison
from changeover.checks.openapi.operations import Operation, Parameter, operations
from changeover.checks.openapi.schemas import ENCODING, NOWHERE, Document, Json, Schema, text
from changeover.checks.openapi.words import Finding

_SCALARS = ("string", "number", "integer", "boolean")
_LOOSE = {"type", "items"}


def incompatibilities(baseline: Json, candidate: Json) -> list[str]:
    """Return one sentence for each thing that is accepted no more, or that cannot be decided."""
    return [one.sentence for one in compare(baseline, candidate)]


def compare(baseline: Json, candidate: Json) -> list[Finding]:
    """Return what the candidate accepts no more, and what cannot be decided."""
    old, new = Document(baseline), Document(candidate)
    ours, theirs = operations(old), operations(new)
    comparison = Comparison(old, new, prove)
    found: list[Finding] = []
    for key, operation in ours.items():
        if key not in theirs:
            # What cannot be read cannot be called missing.
            is_certain = not operation.problem
            found.append(Finding(operation.problem or f"{key} is missing", is_certain))
            continue
        if problem := operation.problem or theirs[key].problem:
            found.append(Finding(f"{key}: {problem}", is_certain=False))
            continue
        try:
            narrowed = list(_narrowed(operation, theirs[key], comparison))
        # One operation that is nested too deep hides no finding about the others.
        except RecursionError:
            what = "cannot be decided here (too deep): check it by hand"
            narrowed = [Finding(what, is_certain=False)]
        for one in narrowed:
            found.append(replace(one, sentence=f"{key}: {one.sentence}"))
    return list(dict.fromkeys(found))  # each sentence once


def prove(a: Schema, b: Schema) -> bool:
    """Whether jsonschema-rs proves that `b` accepts all that `a` accepts.

    It ignores formats, so a schema that has one is never proved to accept.
    """
    # Our own words are unknown to it: it would take them for no condition at all.
    both = text([a, b])
    if '"format"' in text(b) or f'"{NOWHERE}"' in both or f'"{ENCODING}"' in both:
        return False
    draft = jsonschema_rs.Draft202012
    try:
        ours = jsonschema_rs.canonicalize(a, draft=draft)
        theirs = jsonschema_rs.canonicalize(b, draft=draft)
    except (ValueError, jsonschema_rs.ReferencingError):
        return False  # no valid schema, or beyond what it understands
    return theirs.covers(ours) is jsonschema_rs.canonical.Containment.YES


def _narrowed(old: Operation, new: Operation, comparison: Comparison) -> Iterator[Finding]:
    for (place, name), parameter in new.parameters.items():
        was = old.parameters.get((place, name))
        where = f"{place} parameter {name}"
        # A path has its parameters in any case.
        was_required = place == "path" or (was is not None and was.is_required)
        if parameter.is_required and not was_required:
            yield Finding(f"{where} is required now")
        if was is not None:
            yield from _parameter(was, parameter, where, comparison)
    for place, name in old.parameters:
        if (place, name) not in new.parameters:
            yield Finding(f"{place} parameter {name} is gone")
    yield from _body(old, new, comparison)


def _parameter(
    old: Parameter, new: Parameter, where: str, comparison: Comparison
) -> Iterator[Finding]:
    if old.may_be_empty and not new.may_be_empty:
        yield Finding(f"{where} may not be empty any more")
    if old.style != new.style and _is_list(old.schema, comparison.old):
        styles = f"{_style(old)}, now {_style(new)}"
        yield Finding(f"{where} is written otherwise now ({styles})")
    yield from comparison.compare(old.schema, _loose(new.schema), where)


def _style(parameter: Parameter) -> str:
    name, is_exploded = parameter.style
    return f"{name}, one each" if is_exploded else name


def _is_list(schema: Schema, document: Document) -> bool:
    """Whether a parameter may be a list or an object, which can be written in several ways."""
    side = flat(schema, document)
    # Of all types: nobody said that it may be a list.
    if side.types != ALL and side.types & {"array", "object"}:
        return True
    for _, branches in side.unions:
        for branch in branches:
            if _is_list(branch, document):
                return True
    return False


def _loose(schema: Schema) -> Schema:
    """Return a parameter's schema where text without conditions accepts numbers, too."""
    if not isinstance(schema, dict) or set(schema) - _LOOSE:
        return schema
    types: Any = schema.get("type")
    listed = types if isinstance(types, list) else [types]
    result = dict(schema)
    # In a URL everything is text: `7` goes where any text may go.
    if "string" in listed:
        result["type"] = sorted({*listed, *_SCALARS})
    if "items" in schema:
        result["items"] = _loose(schema["items"])
    return result


def _body(old: Operation, new: Operation, comparison: Comparison) -> Iterator[Finding]:
    if new.needs_body and not old.needs_body:
        yield Finding("a body is required now")
    for kind, schema in old.bodies.items():
        media_type = _type_for(kind, new.bodies)
        if media_type is None:
            yield Finding(f"a body of {kind} is not accepted any more")
        else:
            yield from comparison.compare(schema, new.bodies[media_type], "body")


def _type_for(kind: str, kinds: dict[str, Schema]) -> str | None:
    """Return the entry that a media type falls under, the closest first."""
    plain = kind.partition(";")[0]
    family = plain.partition("/")[0]
    for entry in (kind, plain, f"{family}/*", "*/*"):
        if entry in kinds:
            return entry
    return None


def main(arguments: list[str]) -> int:
    """Compare two JSON files and write the findings to a third."""
    old, new, target = map(Path, arguments)
    # Documents may be 200 levels deep, and each level takes several calls.
    sys.setrecursionlimit(20_000)
    before = json.loads(old.read_text("utf-8"))
    after = json.loads(new.read_text("utf-8"))
    found = compare(before, after)
    rows = [[one.sentence, one.is_certain] for one in found]
    target.write_text(json.dumps(rows), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
