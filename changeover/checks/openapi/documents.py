"""Reading documents of others: JSON as JSON, everything else as YAML 1.2, files they refer to.

What an OpenAPI document refers to elsewhere is put under `x-external` in it, so that whoever works
with it later follows references inside one document and opens nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import yaml

from changeover.errors import InvalidInput
from changeover.machine.http import get
from changeover.plan import yaml12

Json = dict[str, Any]
EXTERNAL = "x-external"
DEEPEST = 200
MOST_NODES = 2_000_000
MOST_FILES = 200
LARGEST_BYTES = 50_000_000
# What is in them is no schema.
_VALUES = {"example", "examples", "default", "enum", "const"}
_NAMES = {"properties", "patternProperties", "$defs", "definitions", "schemas", "parameters",
          "requestBodies", "pathItems", "paths", "responses", "headers", "dependentSchemas"}


class _Yaml12(yaml12.Loader):
    """As plans are read; `<<` merges, which documents of others use, and nothing is refused."""


_Yaml12.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile("^<<$"), ["<"])


def parse(content: bytes, source: str) -> Json:
    """Return a document; names become text.

    Raises:
        InvalidInput: It is neither JSON nor YAML, is no mapping, or is too large or too deep.
    """
    if len(content) > LARGEST_BYTES:
        what, most = f"has {len(content)} bytes", f"up to {LARGEST_BYTES}"
        raise InvalidInput(what, where=source, allowed=most)
    try:
        # Editors on Windows put a byte order mark in front, which JSON does not allow.
        text = content.decode("utf-8-sig")
        found = _loaded(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        what = f"is neither JSON nor YAML: {_short(error)}"
        raise InvalidInput(what, where=source) from error
    if not isinstance(found, dict):
        raise InvalidInput("is no OpenAPI document: it is no mapping", where=source)
    _measure(found, source)
    # YAML reads `200:` as a number; whoever looks a status up asks for a text.
    result: Json = _named(found)
    return result


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        if text.lstrip()[:1] in ("{", "[") and "\t" in text:
            raise  # YAML would only complain of the tabs
        try:
            return yaml.load(text, _Yaml12)  # noqa: S506  a safe loader
        except yaml.YAMLError:
            # What begins like JSON was meant as JSON: its error is the one that helps.
            if text.lstrip()[:1] == "{":
                raise error from None
            raise


def _short(error: Exception) -> str:
    return f"{type(error).__name__} {' '.join(str(error).split())[:200]}"


def _measure(document: Any, source: str) -> None:
    """Refuse what is too deep or, with YAML's aliases written out, too large."""
    # Counted along each way: ten aliases of ten aliases are small in memory, and huge written out.
    stack, count = [(document, 0)], 0
    while stack:
        node, depth = stack.pop()
        count += 1
        if depth > DEEPEST or count > MOST_NODES:
            what = "is too deep" if depth > DEEPEST else "is too large"
            raise InvalidInput(
                what, where=source, allowed=f"{DEEPEST} levels, {MOST_NODES} values")
        if isinstance(node, dict):
            node = list(node.values())
        if isinstance(node, list):
            stack += [(part, depth + 1) for part in node]


def _named(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(name): _named(part) for name, part in node.items()}
    return [_named(part) for part in node] if isinstance(node, list) else node


def read(
    source: str, root: Path | None = None, *, fetch: Callable[[str], bytes] | None = None
) -> Json:
    """Return the document at an address or in a file, with what it refers to inside.

    Only files in the folder of the document (`root`) and addresses of the document's own host are
    opened; any other reference stays as it is, and leads nowhere.

    Args:
        source: The address or the file.
        root: The folder of a file.
        fetch: Gets what is at an address of a system; default: from its address alone.

    Raises:
        InvalidInput: The document cannot be had, or is no OpenAPI document.
    """
    if fetch is None:
        fetch = _fetch if root is None else lambda where: _file(where, root)
    try:
        document = parse(fetch(source), source)
    except (httpx.HTTPError, OSError, ValueError) as error:
        what = f"no OpenAPI document: {_short(error)}"
        raise InvalidInput(what, where=source) from error
    if "paths" not in document and "webhooks" not in document:
        raise InvalidInput("is no OpenAPI document: it has no paths", where=source)
    return bundled(document, source, fetch)


def _fetch(url: str) -> bytes:
    return get(url, timeout=10).raise_for_status().content


def _file(where: str, root: Path) -> bytes:
    path = Path(where).resolve()
    # A document of others must not make us read this machine's files into a report.
    if not path.is_relative_to(root.resolve()):
        raise ValueError(f"{where} is outside {root}")
    return path.read_bytes()


def bundled(document: Json, source: str, fetch: Callable[[str], bytes]) -> Json:
    """Return a document whose references all lead into itself; those that cannot be had stay."""
    known = {source: ""}
    parts: Json = {}
    result: Json = {}
    waiting = [(source, document)]
    while waiting:
        place, content = waiting.pop()

        def renamed(reference: str, place: str = place) -> str:
            where, fragment = urldefrag(reference)
            target = urljoin(place, where) if where else place
            if target not in known and _may(target, source) and len(known) < MOST_FILES:
                try:
                    found = parse(fetch(target), target)
                # It stays as it is, and the comparison says that it leads nowhere.
                except (InvalidInput, httpx.HTTPError, OSError, ValueError):
                    return reference
                known[target] = f"/{EXTERNAL}/{len(known)}"
                waiting.append((target, found))
            return f"#{known[target]}{fragment}" if target in known else reference

        rewritten = _rewritten(content, renamed)
        if place == source:
            result = rewritten
        else:
            parts[known[place].rpartition("/")[2]] = rewritten
    return {**result, EXTERNAL: parts} if parts else result


def _may(target: str, source: str) -> bool:
    """Whether a reference stays at the document's host; a file's folder is seen to by `_file`."""
    a, b = urlsplit(target), urlsplit(source)
    return (a.scheme, a.netloc) == (b.scheme, b.netloc)


def _rewritten(node: Any, renamed: Callable[[str], str], *, names: bool = False) -> Any:
    if isinstance(node, list):
        return [_rewritten(part, renamed) for part in node]
    if not isinstance(node, dict):
        return node
    result = {}
    for key, part in node.items():
        # Among the names of fields `$ref` or `default` is a field, not a word.
        if not names and key == "$ref" and isinstance(part, str):
            result[key] = renamed(part)
        elif not names and key in _VALUES:
            result[key] = part
        else:
            result[key] = _rewritten(part, renamed, names=not names and key in _NAMES)
    return result
