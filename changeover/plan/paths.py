"""Paths into documents: the patterns of rules, and how a place is written down.

A pattern is a small part of JSONPath (RFC 9535): `$`, `.name`, `['name']`, `[0]`, `[*]`, `.*` and
`..name`. Places are written in the same way; normalised ones have `[*]` instead of an index, so
that the same field of every item is one path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

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
        raise ValueError(f"longer than {LONGEST_PATTERN} characters")
    if not text.startswith("$"):
        raise ValueError(f"{text!r} must begin with $, for instance $.items[*].price or $..id")
    steps: list[Step] = []
    position = 1
    while position < len(text):
        found = _STEP.match(text, position)
        if found is None or not _is_well_formed(text, found):
            raise ValueError(
                f"{text!r} is not understood from character {position + 1}; allowed are .name, "
                "['name'], [0], [*], .* and ..name"
            )
        steps.append(Step(_token(found), found["deep"] is not None))
        position = found.end()
    return tuple(steps)


def parse_place(text: str) -> tuple[Token | Wild, ...]:
    """Return the steps of a normalised place, however long: `$.items[*].price`.

    What is not understood, since keys can be anything, ends it: the place is then one above.
    """
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
    if "*" in pattern.replace("[*]", "") or any(
            step.is_deep or isinstance(step.token, int) for step in steps):
        raise ValueError(f"{pattern}: a path here is one place, as `$.items[*].price`; `..`, `.*` "
                         "and indexes are not counted")
    return format_path([step.token for step in steps])


def is_touched(path: Sequence[Token | Wild], place: Sequence[Token | Wild]) -> bool:
    """Whether a difference at `place` is one at `path`: there, above it, or below it.

    Whoever loses `$.order` has lost `$.order.total`; whoever has another `$.order.total` has
    another `$.order`.
    """
    return all(wanted is Wild.ANY or wanted == found
               for wanted, found in zip(path, place, strict=False))


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
    return "$" + "".join(
        _format_key(token) if isinstance(token, str)
        else f"[{token.value if isinstance(token, Wild) else token}]" for token in tokens
    )


def normalise(tokens: Sequence[Token]) -> str:
    """Return a place with `[*]` for every index: `$.items[*].price`."""
    return "$" + "".join(
        "[*]" if isinstance(token, int) else _format_key(token) for token in tokens
    )


def _format_key(key: str) -> str:
    if _PLAIN.match(key):
        return f".{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"
