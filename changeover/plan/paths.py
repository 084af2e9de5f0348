"""Paths into documents: the patterns of rules, and how a place is written down.

A pattern is a small part of JSONPath (RFC 9535): `$`, `.name`, `['name']`, `[0]`, `[*]`, `.*` and
`..name`. Places are written in the same way; normalised ones have `[*]` instead of an index, so
that the same field of every item is one path.

In XML and HTML places are written as a small part of XPath: `/order/item[2]/@id`, `//item`, `/*`,
`@*`, `text()`. A name without index means all elements of that name. A name is one of any
namespace unless its URI stands before it, as in `/{urn:shop}order`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

LONGEST_PATTERN = 500
_PLAIN = re.compile(r"[A-Za-z_][\w-]*\Z")
_STEP = re.compile(
    r"""(?P<deep>\.\.)?\.?(?:
        (?P<name>[^\W\d][\w-]*) | (?P<any>\*) |
        \[(?P<index>\d+)\] | \[(?P<all>\*)\] |
        \['(?P<quoted>(?:[^'\\]|\\.)*)'\] | \["(?P<double>(?:[^"\\]|\\.)*)"\]
    )""",
    re.VERBOSE,
)


class Wild(Enum):
    """Steps that match more than one child."""

    ANY = "*"  # every key and every item

    def __repr__(self) -> str:
        return "*"


Token = str | int
"""A step to a child: an object's key or a list's index."""


class Name(str):
    """A step in XML or HTML: `{uri}item`, `@id`, `@{uri}id`, `text()`; `{}item` is in no namespace.

    An element is two steps, its name and which one of that name it is, counted from 1.
    """

    __slots__ = ()

    @property
    def local(self) -> str:
        """The name as rules for any namespace write it."""
        return ("@" if self[0] == "@" else "") + self[self.rfind("}") + 1 :].removeprefix("@")

    @property
    def kind(self) -> str:
        """What stands for all of its kind in rules: `*`, `@*`, or itself."""
        return "@*" if self[0] == "@" else "*" if self[0] == "{" else str(self)

    @property
    def namespace(self) -> str:
        """The namespace's URI; empty when there is none."""
        return self[self.find("{") + 1 : self.find("}")] if "{" in self else ""


ROOT = Name("</>")
"""The step from a body to the elements in it: rules for JSON do not lead there."""
TEXT = Name("text()")


def fits(wanted: Token | Wild, token: Token | Wild) -> bool:
    """Whether a step of a pattern leads to a child."""
    if type(token) is not Name:
        return wanted == token or wanted is Wild.ANY
    return wanted == token or wanted == token.local or wanted == token.kind


def is_in_body(place: str) -> bool:
    """Whether a place lies in a body, and not in the status or a header."""
    return place[:1] in ("$", "/")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a pattern: a key, an index, or any child; `is_deep` after `..`."""

    token: Token | Wild
    is_deep: bool = False


def parse_pattern(text: str) -> tuple[Step, ...]:
    """Return the steps of a pattern such as `$.items[*].price` or `$..id`.

    Raises:
        ValueError: Not a pattern; the message says at which character, and what is allowed.
    """
    if len(text) > LONGEST_PATTERN:
        raise ValueError(f"the pattern is longer than {LONGEST_PATTERN} characters")
    if text.startswith("/"):
        return _parse_markup(text)
    if not text.startswith("$"):
        raise ValueError(f"{text!r} must begin with $, such as $.items[*].price or $..id; for XML "
                         "and HTML with /, such as /order/item/@id or //id")
    steps: list[Step] = []
    position = 1
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None or not _is_well_formed(text, found):
            raise ValueError(
                f"{text!r} cannot be read from character {position + 1} on; allowed are .name, "
                "['name'], [0], [*], .* and ..name"
            )
        steps.append(Step(_token(found), found["deep"] is not None))
        position = found.end()
    return tuple(steps)


MISSING = object()
"""What stands where a document has nothing."""


def value_at(document: Any, path: str) -> Any:
    """Return what stands at a path of plain steps in a document; `MISSING` when nothing does."""
    return follow(document, [step.token for step in parse_pattern(path)])


def follow(document: Any, steps: Iterable[Any]) -> Any:
    """Return what stands below a document after some keys and indexes, or `MISSING`."""
    for step in steps:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return MISSING
    return document


def parse_place(text: str) -> tuple[Token | Wild, ...]:
    """Return the steps of a normalised place, however long: `$.items[*].price`.

    Keys can be anything: a part that cannot be read ends the place, which is then the one above.
    """
    if text.startswith("/"):
        return _markup_place(text)
    steps: list[Token | Wild] = []
    position = 1
    while found := _STEP.match(text, position):
        steps.append(_token(found))
        position = found.end()
    return tuple(steps)


def one_place(pattern: str) -> str:
    """Return a pattern that names a single place as places are written: `$['a']` is `$.a`.

    Raises:
        ValueError: It names several (`..`, an index, which counts cannot tell apart), or nothing.
    """
    steps = parse_pattern(pattern)
    if pattern.startswith("/"):
        return _one_markup_place(pattern)
    # `[*]` may stand there: places are written with it instead of an index
    if "*" in pattern.replace("[*]", "") or any(
            step.is_deep or isinstance(step.token, int) for step in steps):
        raise ValueError(f"{pattern}: this path must name one place, such as `$.items[*].price`; "
                         "`..`, `.*` and indexes are not allowed")
    return format_path([step.token for step in steps])


def is_touched(path: Sequence[Token | Wild], place: Sequence[Token | Wild]) -> bool:
    """Whether a difference at `place` is one at `path`: there, above it, or below it.

    An answer without `$.order` has no `$.order.total` either, and an answer with another
    `$.order.total` has another `$.order`.
    """
    # the shorter one decides: what lies above or below is touched, too
    return all(fits(wanted, found) for wanted, found in zip(path, place, strict=False))


def _is_well_formed(text: str, found: re.Match[str]) -> bool:
    """A bare name needs its dot, and a bracket must not have one unless it is `..[`."""
    is_dotted = text[found.start()] == "."
    has_bracket = found["name"] is None and found["any"] is None
    return is_dotted != has_bracket or found["deep"] is not None


def _token(found: re.Match[str]) -> Token | Wild:
    if found["any"] or found["all"]:
        return Wild.ANY
    if found["index"] is not None:
        return int(found["index"])
    if found["name"] is not None:
        return found["name"]
    quoted = found["quoted"] if found["quoted"] is not None else found["double"]
    return re.sub(r"\\(.)", r"\1", quoted)


def format_path(tokens: Iterable[Token | Wild]) -> str:
    """Return a place: `$.items[3].price`, or one of many: `$.items[*].price`."""
    tokens = tuple(tokens)
    if tokens[:1] == (ROOT,):
        return _format_markup(tokens[1:])
    return "$" + "".join(
        _format_key(token) if isinstance(token, str)
        else f"[{token.value if isinstance(token, Wild) else token}]" for token in tokens
    )


def _format_key(key: str) -> str:
    if _PLAIN.match(key):
        return f".{key}"
    # backslashes first, or those of the quotes would be doubled
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"


_MARKUP_STEP = re.compile(
    r"""(?P<axis>//?)(?:
        (?P<attribute>@(?:\*|(?:\{[^}]*\})?[^\s/]+)) | (?P<text>text\(\)) |
        (?P<element>\*|(?:\{[^}]*\})?[^\s/\[\]{}()@*]+)
    )(?:\[(?:(?P<index>\d+)|\*)\])?""",
    re.VERBOSE,
)


def _parse_markup(text: str) -> tuple[Step, ...]:
    steps = [Step(ROOT)]
    position = 0 if text != "/" else 1
    while position < len(text):
        found = _MARKUP_STEP.match(text, position)
        if found is None or (found["element"] is None and text[found.end() - 1] == "]"):
            raise ValueError(
                f"{text!r} cannot be read from character {position + 1} on; allowed are /name, "
                "/{uri}name, /name[2], /name[*], /*, //name, /@name, /@* and /text()"
            )
        name = found["element"] or found["attribute"] or found["text"]
        steps.append(Step(name, found["axis"] == "//"))
        # an element is two steps, as in `Name`; without an index all of its name are meant
        if found["element"]:
            steps.append(Step(Wild.ANY if found["index"] is None else int(found["index"])))
        position = found.end()
    return tuple(steps)


def _markup_place(text: str) -> tuple[Token | Wild, ...]:
    """Return the steps of a place; an element is in its parent's namespace unless it says which."""
    steps: list[Token | Wild] = [ROOT]
    position, namespace = 0, "{}"
    while found := _MARKUP_STEP.match(text, position):
        name = found["element"]
        if name is None:
            steps.append(Name(found["attribute"] or found["text"]))
        else:
            name = name if name[0] == "{" else namespace + name
            namespace = name[: name.find("}") + 1]
            index = found["index"]
            steps += [Name(name), Wild.ANY if index is None else int(index)]
        position = found.end()
    return tuple(steps)


def _one_markup_place(pattern: str) -> str:
    plain = pattern.replace("[*]", "")
    # slashes within a namespace's address are no steps
    if "*" in plain or "//" in re.sub(r"\{[^}]*\}", "", plain) or any(
            isinstance(step.token, int) for step in parse_pattern(pattern)):
        raise ValueError(f"{pattern}: this path must name one place, such as `/order/item/@id`; "
                         "`//`, `*` and indexes are not allowed")
    return plain


def shown_name(name: Name, namespace: str) -> str:
    """Return an element's name as it stands in a place, below one in `namespace`."""
    return name[name.find("}") + 1 :] if name.namespace == namespace else str(name)


def _format_markup(tokens: Sequence[Token | Wild]) -> str:
    text, namespace = "", ""
    for token in tokens:
        if isinstance(token, Name):
            is_element = token[0] == "{"
            text += "/" + (shown_name(token, namespace) if is_element else token)
            namespace = token.namespace if is_element else namespace
        elif isinstance(token, int):
            text += f"[{token}]"
    return text or "/"
