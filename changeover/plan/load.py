"""Reading a plan from YAML: every problem at once, with its line, path and what is allowed.

Which parts contradict each other is `changeover.plan.rules`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from changeover.errors import InvalidPlan
from changeover.plan import environments, rules, user_files, user_lists
from changeover.plan.document import Lines, read
from changeover.plan.external import declared, undefined
from changeover.plan.groups import PLAIN, place_in_document
from changeover.plan.location import Location
from changeover.plan.metrics import METRICS
from changeover.plan.model import Plan
from changeover.plan.sources import SOURCE_KINDS
from changeover.plan.suites import AnyCheck

_KINDS = ", ".join(get_args(kind.model_fields["kind"].annotation)[0]
                   for kind in get_args(get_args(AnyCheck)[0]))
LARGEST_BYTES = 1 << 20
_FORMS = ("mapping", "scalar")  # the library's names for the two forms of a flag
_NESTED = {"$ref", "items", "additionalProperties"}

_TRANSLATED = {
    "missing": "is required but missing",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of names to values",
    "model_type": "must be a mapping of names to values",
    "model_attributes_type": "must be a mapping of names to values",
}


def load_plan(path: Path, environment: str | None = None) -> Plan:
    """Return the plan in a file, as one of its environments sees it when one is named.

    Raises:
        InvalidPlan: It cannot be read, is not YAML, or contains something that is not allowed;
            the error lists every problem with its line.
    """
    text = _text(path)
    return parse_plan(text, str(path), environment)


def _text(path: Path) -> str:
    source = str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidPlan(source, [f"the file cannot be read: {error.strerror}"]) from error
    if len(content) > LARGEST_BYTES:
        raise InvalidPlan(source, [
            f"the file has {len(content)} bytes; the limit is {LARGEST_BYTES}"])
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InvalidPlan(source, [f"line {line}: this is not UTF-8 text"]) from None


def parse_plan(text: str, source: str, environment: str | None = None) -> Plan:
    """Return the plan in a YAML text.

    Args:
        text: The document.
        source: Its path, or a name in messages; files that it names are beside it.
        environment: Which of its environments; None: the plan without them.

    Raises:
        InvalidPlan: As `load_plan`.
    """
    document, lines = _read(text, source)
    if environment is None:
        return _validated(document, lines, source)
    known = document.get("environments") or {}
    if environment not in known:
        listed = ", ".join(known) or "none, the plan has no environments"
        raise InvalidPlan(source, [f"environment {environment!r} is unknown; known are {listed}"])
    merged = environments.merged(document, environment)
    return _validated(merged, lines, source, ("environments", environment))


def settings_of(path: Path, environment: str | None = None) -> list[environments.Setting]:
    """Return every value of a plan as one of its environments sees it, and where it comes from.

    Raises:
        InvalidPlan: As `load_plan`; the merged plan is validated as a whole.
    """
    base, effective = (
        load_plan(path, name).model_dump(mode="json", by_alias=True, exclude_none=True,
                                         exclude={"environments", "environment"})
        for name in (None, environment)
    )
    document, _ = _read(_text(path), str(path))
    return environments.settings(document, environment, effective, base)


def refuse_beside(
    path: Path, plan: Plan, found: Sequence[tuple[Location, str]], environment: str | None = None
) -> None:
    """Refuse a plan that was read from a file for what is wrong with it beside other plans.

    Args:
        path: The file.
        plan: The plan that was read from it.
        found: Where in the plan, and what is wrong.
        environment: Which of its environments.

    Raises:
        InvalidPlan: Something was found; the error names the lines.
    """
    if not found:
        return
    # read again, for the lines: a plan knows only its values
    _, lines = _read(_text(path), str(path))
    placed = [(place_in_document(plan, tuple(where)), text) for where, text in found]
    overlay = ("environments", environment) if environment else ()
    raise InvalidPlan(str(path), lines.sorted(placed, overlay))


def _read(text: str, source: str) -> tuple[dict[str, Any], Lines]:
    document, lines = read(text, source)
    # before it is merged: an environment would replace the plan's own name silently
    if wrong := list(environments.forbidden(document)):
        raise InvalidPlan(source, lines.sorted(wrong))
    return document, lines


def _validated(
    document: dict[str, Any], lines: Lines, source: str, overlay: Location = ()
) -> Plan:
    """Return the plan of a document; problems in an overlay are placed at the overlay's lines."""
    document, lists, faults = user_files.with_lists(document, Path(source).parent)
    try:
        plan = Plan.model_validate(document, context=user_lists.as_context(lists))
    except ValidationError as error:
        # the library's sentences contain its own terms, and sometimes the whole input
        found = [_explain(detail, document) for detail in error.errors()]
        unread = {path[:-1] for path, _ in faults}
        found = [each for each in found if each[0] not in unread] + faults
        raise InvalidPlan(source, lines.sorted(found, overlay)) from None
    impossible = [(place_in_document(plan, tuple(problem.path)), problem.text)
                  for problem in rules.check_plan(plan)]
    if impossible:
        raise InvalidPlan(source, lines.sorted(impossible, overlay))
    return plan


def _explain(detail: ErrorDetails, document: Any) -> tuple[Location, str]:
    """Return a problem's path in the document and a sentence without the library's jargon."""
    path = _path_in(detail["loc"], document)
    kind, found = detail["type"], detail.get("input")
    context = detail.get("ctx") or {}
    if kind == "extra_forbidden":
        return path, _unknown_key(str(path[-1]) if path else "", detail["loc"])
    if kind == "value_error":
        return path, _with_nearest_metric(str(context.get("error", detail["msg"])), document)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        found, path = context.get("tag", "nothing"), (*path, "kind")
        kinds = ", ".join(SOURCE_KINDS) if path[:1] == ("sources",) else _KINDS
        near = _nearest(found, kinds)
        return path, f"kind {_shown(found)} is unknown{near}; allowed are {kinds}"
    if kind in ("literal_error", "enum"):
        allowed = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
        return path, f"{_shown(found)} is unknown{_nearest(found, allowed)}; allowed are {allowed}"
    if kind == "string_pattern_mismatch":
        return path, f"{_shown(found)} does not match {context.get('pattern')}"
    if kind in _TRANSLATED:
        shown = "" if kind == "missing" else f"{_shown(found)} "
        return path, f"{shown}{_TRANSLATED[kind]}"
    return path, f"{_shown(found)}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _path_in(location: Location, document: Any) -> Location:
    """Drop parts of a path that only the library has, such as names of alternatives."""
    path: list[str | int] = []
    for part in location:
        # the last part stays though the document lacks it: it is what the message is about
        if isinstance(document, dict) and (
                part in document or part == location[-1] != PLAIN):
            path.append(part)
            document = document.get(part)
        elif isinstance(document, list) and isinstance(part, int) and part < len(document):
            path.append(part)
            document = document[part]
    return tuple(path)


def _unknown_key(name: str, location: Location) -> str:
    is_member = location[0] == "gates" and {"any", "all", "of"} & {*location[3:-1]}
    # the checks of a group have the same keys as others
    allowed = _allowed_keys(("gates", "", 0) if is_member else location[:-1])
    listed = ", ".join(allowed)
    return f"{name!r} is unknown{_nearest(name, listed)}; allowed are {listed}"


@cache
def _schema() -> dict[str, Any]:
    """Return the plan's JSON schema, made once: a plan may have many unknown names."""
    return Plan.model_json_schema(by_alias=True)


def _allowed_keys(location: Location) -> list[str]:
    """Return the names allowed in the part of the plan at `location`."""
    schema = _schema()
    definitions, node = schema.get("$defs", {}), schema
    for part in location:
        node = _resolve(node, definitions)
        # the name of a flag's form stands in the library's path, and in no schema
        if part in _FORMS and part not in node.get("properties", {}):
            continue
        if part in (kinds := node.get("discriminator", {}).get("mapping", {})):
            node = {"$ref": kinds[part]}
        elif isinstance(part, int):
            # one that needs no list stands in the library's path as the first of a list
            node = node.get("items", node)
        else:
            # mappings from names to parts: any name is allowed, or those of a pattern
            named = next(iter(node.get("patternProperties", {}).values()), None)
            node = node.get("properties", {}).get(part) or named \
                or node.get("additionalProperties") or {}
    return sorted(_resolve(node, definitions).get("properties", {}))


def _resolve(node: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """Follow references; of several alternatives use the one that is a mapping or a list."""
    while True:
        if "discriminator" in node:  # the kind, which comes next, says which alternative
            return dict(node)
        if "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[1]]
        elif "allOf" in node:
            node = node["allOf"][0]
        elif alternatives := node.get("anyOf") or node.get("oneOf"):
            # a part that may be left out is "this or null": null has no names in it
            node = next((a for a in alternatives if a.keys() & _NESTED), {})
        else:
            return dict(node)


def _with_nearest_metric(text: str, document: Any) -> str:
    if external := re.match(r"no source has the metric '([^']*)'", text):
        return undefined(external[1], declared(document))
    match = re.match(r"unknown metric '([^']*)'", text)
    if match is None:
        return text
    return text.replace(";", f"{_nearest(match[1], ', '.join(METRICS))};", 1)


def _nearest(found: object, allowed: str) -> str:
    close = difflib.get_close_matches(str(found), allowed.split(", "), 1, 0.6)
    return f", did you mean {close[0]!r}?" if close else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
