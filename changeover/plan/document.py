"""A plan's text as a document, and the line of every part of it. Pure.

Every problem of form is listed with its line: names defined twice, values that two versions of YAML
read differently, characters that no database can store. `changeover.plan.load` checks the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import yaml

from changeover.errors import InvalidPlan
from changeover.plan import yaml12
from changeover.plan.location import Location

MOST_NODES = 50_000
DEEPEST = 50

_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
# JSON writes a character beyond U+FFFF as two halves; YAML's parser wants it whole
_PAIR = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)
_TAGS = {f"tag:yaml.org,2002:{name}" for name in
         ("null", "bool", "int", "float", "str", "seq", "map")}
_MERGE = "<<"


def read(text: str, source: str) -> tuple[dict[str, Any], Lines]:
    """Return a document and its lines. JSON is read as JSON, everything else as YAML.

    Args:
        text: The document.
        source: Its name in messages.

    Raises:
        InvalidPlan: It is not one mapping, or a part of it is ambiguous.
    """
    # a document that is JSON has no doubtful values: the rules for YAML do not apply to it
    found = _as_json(text, source)
    node = _compose(text if found is None else _as_yaml(text), source)
    lines = Lines(node, is_json=found is not None)
    if lines.problems:
        raise InvalidPlan(source, lines.problems)
    return _construct(node) if found is None else found, lines


class Lines:
    """The line of every path in a document; also finds values that are not allowed.

    Args:
        root: The document's node tree.
        is_json: The document is JSON, in which every value is clear.
    """

    def __init__(self, root: yaml.Node, *, is_json: bool = False) -> None:
        self._lines: dict[Location, int] = {}
        self.problems: list[str] = []
        self._count = 0
        self._is_json = is_json
        self._walk(root, ())

    def sorted(
        self, problems: Sequence[tuple[Location, str]], overlay: Location = ()
    ) -> list[str]:
        """Return problems as sentences in order of their lines."""
        found = [(self._place(path, overlay), text) for path, text in problems]
        placed = sorted({(self.line(path), dotted(path), text) for path, text in found})
        return [f"line {line}, {path or 'plan'}: {text}" for line, path, text in placed]

    def _place(self, path: Location, overlay: Location) -> Location:
        """Return where a path of a merged document was written."""
        for end in range(len(path), 0, -1):
            if overlay and (*overlay, *path[:end]) in self._lines:
                return (*overlay, *path)
            if path[:end] in self._lines:
                break
        return path

    def line(self, path: Location) -> int:
        """Return the line of a path, or of the nearest part above it."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _walk(self, node: yaml.Node, path: Location) -> None:
        self._count += 1
        # aliases are walked wherever they are used, so a document of aliases of aliases ends here
        if self._count > MOST_NODES or len(path) > DEEPEST:
            if not self.problems:
                self.problems.append(f"the document has more than {MOST_NODES} values, "
                                     f"or more than {DEEPEST} levels")
            return
        # a value that follows its name in another line: people look for the name
        self._lines.setdefault(path, node.start_mark.line + 1)
        if node.tag not in _TAGS:
            self._add(node, path, f"the type {node.tag.rpartition(':')[2]} is not allowed")
        elif isinstance(node, yaml.ScalarNode):
            self._check_value(node, path)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(item, (*path, index))
        elif isinstance(node, yaml.MappingNode):
            self._walk_mapping(node, path)

    def _walk_mapping(self, node: yaml.MappingNode, path: Location) -> None:
        seen: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(f"line {key.start_mark.line + 1}: a name must be plain text")
                continue
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen:
                self._add(key, (*path, name), f"is defined twice, first in line {seen[name]}")
            if _NOT_STORABLE.search(name):
                self._add(key, path, f"the name {name!r} contains an invalid character")
            seen[name] = line
            self._lines[(*path, name)] = line
            self._walk(value, (*path, name))

    def _check_value(self, node: yaml.ScalarNode, path: Location) -> None:
        """Note a value that is ambiguous, not a number, or could not be stored."""
        if _NOT_STORABLE.search(node.value):
            self._add(node, path, "contains an invalid character; write the character itself")
        # in JSON and within quotes a value has one meaning
        if self._is_json or node.style not in (None, ""):
            return
        if unclear := yaml12.doubt(node.value):
            self._add(node, path, unclear)
            return
        try:
            _scalar(node)
        except ValueError as error:
            self._add(node, path, str(error))

    def _add(self, node: yaml.Node, path: Location, text: str) -> None:
        self.problems.append(f"line {node.start_mark.line + 1}, {dotted(path) or 'plan'}: {text}")


def dotted(path: Location) -> str:
    """Return a path as people write it: `gates.slo[0].below`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _as_json(text: str, source: str) -> dict[str, Any] | None:
    """Return a document that is JSON to its end; None for any other.

    Raises:
        InvalidPlan: Only JSON's own writers say NaN or Infinity, and no plan may.
    """
    if not text.lstrip().startswith("{"):
        return None
    try:
        found: dict[str, Any] = json.loads(text, parse_constant=_refuse)
    except _NotFinite as error:
        # the library does not say where it stood: the first line with the word
        line = next((n for n, one in enumerate(text.splitlines(), 1) if str(error) in one), 1)
        raise InvalidPlan(source, [f"line {line}: {yaml12.not_finite(str(error))}"]) from None
    except (ValueError, RecursionError):
        # read as YAML then, whose messages name a line
        return None
    return found


class _NotFinite(Exception):
    """JSON contains NaN or Infinity."""


def _refuse(constant: str) -> Any:
    raise _NotFinite(constant)


def _as_yaml(text: str) -> str:
    """Return JSON so that YAML's parser finds its lines: without tabs, with whole characters."""
    return _PAIR.sub(lambda found: json.loads(f'"{found[0]}"'), text.replace("\t", " "))


def _compose(text: str, source: str) -> yaml.Node:
    """Return the document's node tree, refusing what is not one plain mapping."""
    if found := _LINE_ENDS.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise InvalidPlan(source, [
            f"line {line}: the character U+{ord(found[0]):04X} ends a line in YAML 1.1 and does "
            "not in 1.2; remove it"])
    try:
        nodes = list(yaml.compose_all(text, Loader=yaml12.Loader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        what = getattr(error, "problem", None) or "this is not YAML"
        raise InvalidPlan(source, [f"{where}not readable as YAML: {what}"]) from None
    except RecursionError:
        raise InvalidPlan(source, ["the document is nested too deeply"]) from None
    if len(nodes) != 1 or nodes[0] is None:
        found_what = "is empty" if not nodes else f"contains {len(nodes)} documents"
        raise InvalidPlan(source, [f"the file {found_what}; it must contain exactly one plan"])
    if not isinstance(nodes[0], yaml.MappingNode):
        raise InvalidPlan(source, ["line 1: a plan must be a mapping of names to values"])
    return nodes[0]


def _construct(node: yaml.Node) -> Any:
    """Return the value of a node; names are text as they are written."""
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item) for item in node.value]
    found: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, value in node.value:
        # a quoted "<<" is a name as any other
        if key.value == _MERGE and key.style in (None, ""):
            merged = _merged(_construct(value)) | merged
        else:
            found[key.value] = _construct(value)
    # what a mapping says itself wins, wherever its `<<` stands
    return merged | found


def _merged(value: Any) -> dict[str, Any]:
    """Return what `<<` adds to a mapping: a mapping, or several of which the first one wins."""
    parts = value if isinstance(value, list) else [value]
    found: dict[str, Any] = {}
    for part in reversed(parts):
        found |= part if isinstance(part, dict) else {_MERGE: part}
    return found


def _scalar(node: yaml.ScalarNode) -> Any:
    """Return a scalar's value.

    Raises:
        ValueError: It has not the type that its tag says, or is no finite number.
    """
    kind = node.tag.rpartition(":")[2]
    if kind == "str":
        return str(node.value)
    if yaml12.kind(node.value) != kind:
        raise ValueError(f"{node.value!r} is not of the type {kind}")
    try:
        return yaml12.value(node.value)
    except ValueError as error:
        # Python refuses whole numbers with thousands of digits, in words that help nobody
        is_long = "digits" in str(error)
        raise ValueError(f"a number of {len(node.value)} digits is too long" if is_long
                         else str(error)) from None
