"""The operations of an OpenAPI document, of version 2.0, 3.0 or 3.1, in one form. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from changeover.checks.openapi.schemas import ENCODING, Document, Json, Schema

METHODS = ("get", "head", "options", "post", "put", "patch", "delete", "trace")
# OpenAPI 3.0.3, "Parameter Object": ignored.
_OURS = {"accept", "content-type", "authorization"}
_STYLES = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}
_OLD_STYLES = {"csv": ("form", False), "multi": ("form", True), "ssv": ("spaceDelimited", False),
               "pipes": ("pipeDelimited", False), "tsv": ("tabDelimited", False)}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter; `style` is how a list or an object is written in it."""

    schema: Schema
    is_required: bool = False
    style: tuple[str, bool] = ("form", True)
    may_be_empty: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path accepts. `bodies`: schemas by media type or range."""

    parameters: dict[tuple[str, str], Parameter] = field(default_factory=dict)
    bodies: dict[str, Schema] = field(default_factory=dict)
    needs_body: bool = False
    problem: str = ""  # why it cannot be read


def operations(document: Document) -> dict[str, Operation]:
    """Return the operations by `METHOD /path/{}`."""
    found: dict[str, Operation] = {}
    paths = document.content.get("paths")
    for path, raw in _items(paths):
        if not path.startswith("/"):
            continue  # an extension
        item = document.follow(raw)
        for method in METHODS:
            operation = document.follow(item.get(method))
            if not operation and not isinstance(item.get(method), dict):
                continue
            for base in _bases(document, item, operation):
                # How a parameter is called in a path makes no difference to clients.
                whole = re.sub(r"{[^}]*}", "{}", base + path)
                key = f"{method.upper()} {whole}"
                found[key] = _operation(document, path, item, operation)
        if "$nowhere" in item:
            found[f"? {path}"] = Operation(problem=_nowhere(item))
    return found


def methods(document: Json) -> list[str]:
    """Return the methods that a document has operations for."""
    found = {key.split()[0] for key in operations(Document(document))} - {"?"}
    return sorted(found)


def _items(node: Any) -> list[tuple[str, Any]]:
    """Return a mapping's entries; none for what should be a mapping and is not."""
    return list(node.items()) if isinstance(node, dict) else []


def _nowhere(part: Json) -> str:
    return f"the reference {part['$nowhere']} leads nowhere"


def _bases(document: Document, item: Json, operation: Json) -> list[str]:
    """Return what stands before the path: `basePath`, or the paths of the servers."""
    if "swagger" in document.content:
        return [str(document.content.get("basePath") or "").rstrip("/")]
    for place in (operation, item, document.content):
        servers = place.get("servers")
        if isinstance(servers, list) and servers:
            bases = [_base(one) for one in servers if isinstance(one, dict)]
            # Production and staging mostly have the same path.
            return list(dict.fromkeys(bases))
    return [""]


def _base(server: Json) -> str:
    url = str(server.get("url") or "")
    for name, variable in _items(server.get("variables")):
        if isinstance(variable, dict):
            url = url.replace("{" + name + "}", str(variable.get("default", "")))
    path = urlsplit(url.replace("{", "").replace("}", "")).path.rstrip("/")
    return path if not path or path.startswith("/") else f"/{path}"


def _operation(document: Document, path: str, item: Json, operation: Json) -> Operation:
    # A path's parameters by their position: their names may have changed.
    names = re.findall(r"{([^}]*)}", path)
    positions = {name: str(place) for place, name in enumerate(names)}
    raw: dict[tuple[str, str], Json] = {}
    # The operation's own come later: they replace those of the path (OpenAPI 3.0.3).
    for listed in (item.get("parameters"), operation.get("parameters")):
        for one in listed if isinstance(listed, list) else []:
            parameter = document.follow(one)
            place, name = str(parameter.get("in", "")), str(parameter.get("name", ""))
            if "$nowhere" in parameter:
                return Operation(problem=_nowhere(parameter))
            if place == "path":
                name = positions.get(name, name)
            if place == "header":
                name = name.lower()
            raw[place, name] = parameter
    usual = _parameters(document, raw)
    # What the document forgot to describe is in the path all the same.
    for position in positions.values():
        usual.setdefault(("path", position), Parameter({}, True, ("simple", False)))
    if "swagger" in document.content:
        bodies, needed = _old_bodies(document, operation, raw)
    else:
        body = document.follow(operation.get("requestBody"))
        if "$nowhere" in body:
            return Operation(problem=_nowhere(body))
        bodies, needed = dict(_bodies(document, body)), body.get("required") is True
    return Operation(usual, bodies, needed)


def _parameters(
    document: Document, raw: dict[tuple[str, str], Json]
) -> dict[tuple[str, str], Parameter]:
    """Return the parameters that stand in a request's head, where clients choose them."""
    found = {}
    for (place, name), parameter in raw.items():
        is_ours = place == "header" and name in _OURS
        if place in _STYLES and not is_ours:
            found[place, name] = _parameter(document, place, parameter)
    return found


def _parameter(document: Document, place: str, raw: Json) -> Parameter:
    is_required = raw.get("required") is True or place == "path"
    empty = raw.get("allowEmptyValue") is True
    contents = _items(raw.get("content"))
    if "schema" not in raw and contents:
        kind, content = contents[0]
        schema = content.get("schema") if isinstance(content, dict) else {}
        style = kind.lower(), False
        return Parameter(document.read(schema), is_required, style, empty)
    if "schema" in raw:
        name = str(raw.get("style") or _STYLES[place])
        explode = raw.get("explode")
        # The default of `explode` depends on the style (OpenAPI 3.0.3, "Parameter Object").
        spread = explode if isinstance(explode, bool) else name == "form"
        return Parameter(document.read(raw["schema"]), is_required, (name, spread), empty)
    # In 2.0 the schema's words stand beside the parameter's own.
    written = dict(raw)
    for word in ("required", "in", "name"):
        written.pop(word, None)
    schema = document.read(written) if "swagger" in document.content else {}
    written_as = str(raw.get("collectionFormat") or "csv")
    name, spread = _OLD_STYLES.get(written_as, ("form", False))
    # 3.0 has another word for a list with commas where it is not in the query.
    if place in ("path", "header") and name == "form":
        name = "simple"
    return Parameter(schema or {"type": "string"}, is_required, (name, spread), empty)


def _bodies(document: Document, body: Json) -> Iterator[tuple[str, Schema]]:
    for kind, media in _items(body.get("content")):
        found = document.follow(media)
        schema = found.get("schema")
        schema = document.read({} if schema is None else schema)
        # Of a form's parts: compared as it stands.
        if encoding := found.get("encoding"):
            schema = {"allOf": [schema, {ENCODING: encoding}]}
        yield media_type(kind), schema


def media_type(kind: str) -> str:
    """Return a media type in one form: lower case, without its charset, parameters in order."""
    name, *rest = kind.lower().split(";")
    others = []
    for part in rest:
        short = part.replace(" ", "").strip()
        if short and not short.startswith("charset"):
            others.append(short)
    return ";".join([name.strip(), *sorted(others)])


def _old_bodies(
    document: Document, operation: Json, raw: dict[tuple[str, str], Json]
) -> tuple[dict[str, Schema], bool]:
    """Return the bodies of 2.0: one `body` parameter, or a form made of `formData` ones."""
    listed = operation.get("consumes", document.content.get("consumes"))
    kinds = [media_type(str(kind)) for kind in listed or []]
    for (place, _), parameter in raw.items():
        if place == "body":
            schema = document.read(parameter.get("schema") or {})
            return (dict.fromkeys(kinds or ["application/json"], schema),
                    parameter.get("required") is True)
    fields: Json = {}
    required: list[str] = []
    has_file = False
    for (place, name), one in raw.items():
        if place == "formData":
            fields[name] = _parameter(document, "query", one).schema
            has_file = has_file or one.get("type") == "file"
            if one.get("required") is True:
                required.append(name)
    if not fields:
        return {}, False
    schema = {"type": "object", "properties": fields}
    if required:
        schema["required"] = sorted(required)
    # Only multipart forms can carry files.
    usual = "multipart/form-data" if has_file else "application/x-www-form-urlencoded"
    forms = [kind for kind in kinds if "form" in kind] or [usual]
    return dict.fromkeys(forms, schema), bool(required)
