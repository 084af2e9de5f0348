"""Putting values in the place of placeholders, as each language needs it. Pure.

A value can never end the quotes that it stands in, and in SQL it never becomes text at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from changeover.plan.placeholders import Language, Piece, pieces

_OF_REGEX = re.compile(r"([\\.+*?()|\[\]{}^$])")
_ESCAPED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
Values = Mapping[str, str | int]
"""What stands for each placeholder; `window` is in seconds."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement whose values are bound, never pasted: `… WHERE system = :system`."""

    text: str
    values: dict[str, str | int]


def promql(query: str, values: Values) -> str:
    """Return a PromQL query; values of labels are escaped, also in regular expressions."""
    return "".join(_in_promql(piece, values) for piece in pieces(query, Language.PROMQL))


def _in_promql(piece: Piece, values: Values) -> str:
    if piece.name is None:
        return piece.text
    if piece.name == "window":
        return f"{values['window']}s"
    value = str(values[piece.name])
    if piece.is_regex:
        value = _OF_REGEX.sub(r"\\\1", value)
    # of the two quotes only the one around the value may be escaped
    escaped = {**_ESCAPED, piece.quote: f"\\{piece.quote}"}
    return "".join(escaped.get(character, character) for character in value)


def sql(query: str, values: Values) -> Bound:
    """Return a statement for SQLAlchemy's `text`, and the values to bind."""
    found, used = [], {}
    for piece in pieces(query, Language.SQL):
        if piece.name is None or piece.is_comment:
            # a colon of the query's own begins no bound value
            found.append(piece.text.replace(":", "\\:"))
        else:
            found.append(f":{piece.name}")
            used[piece.name] = values[piece.name]
    return Bound("".join(found), used)


def address(path: str, values: Values) -> str:
    """Return a path with its query string; values are percent-encoded."""
    return "".join(
        piece.text if piece.name is None else quote(str(values[piece.name]), safe="")
        for piece in pieces(path, Language.ADDRESS))


def words(command: list[str], values: Values) -> list[str]:
    """Return a program and its arguments; a value stays within its argument."""
    return ["".join(
        piece.text if piece.name is None else str(values[piece.name])
        for piece in pieces(word, Language.WORDS)) for word in command]
