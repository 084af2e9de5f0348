"""Placeholders in what sources are asked: `{system}`, `{segment}`, `{window}`, `{migration}`. Pure.

A placeholder is always one value, never a piece of the language around it. So each language says
where one may stand: in PromQL within quotes, in SQL outside of them, because it is bound there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

NAMES = ("system", "segment", "window", "migration")
ALLOWED = ", ".join(f"{{{name}}}" for name in NAMES)
_SPLIT = re.compile(r"\{(" + "|".join(NAMES) + r")\}")
_WORD = re.compile(r"\{\s*([A-Za-z_]+)\s*\}")
_REGEX_BEFORE = re.compile(r"[=!]~\s*$")
_BEGINS = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:select|with|values)\b", re.I | re.S)


class Language(StrEnum):
    """What a text with placeholders is written in."""

    PROMQL = "PromQL"
    SQL = "SQL"
    ADDRESS = "a path"
    WORDS = "a command"


# comments and quoted texts are found whole: a quote within a comment opens nothing
_TOKENS = {
    Language.PROMQL: re.compile(
        r"""(?P<comment>\#[^\n]*)
        |(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
        |(?P<other>[^\#"'`]+|.)""", re.X | re.S),
    Language.SQL: re.compile(
        r"""(?P<comment>--[^\n]*|/\*.*?\*/)
        |(?P<quoted>'(?:[^']|'')*'|"[^"]*"|`[^`]*`|(?P<tag>\$\w*\$).*?(?P=tag))
        |(?P<other>[^'"`$/-]+|.)""", re.X | re.S),
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text: as it stands there, or a placeholder.

    Args:
        text: What stands there.
        name: The placeholder's name; None: plain text.
        quote: The quote around it; empty outside of quotes.
        is_regex: Whether the quoted text is a regular expression (`=~`, `!~`).
        is_comment: Whether nobody reads it.
    """

    text: str
    name: str | None = None
    quote: str = ""
    is_regex: bool = False
    is_comment: bool = False


def named_in(*texts: str | None) -> frozenset[str]:
    """Return the placeholders that texts have."""
    found: set[str] = set()
    for text in texts:
        found.update(_SPLIT.findall(text or ""))
    return frozenset(found)


def pieces(text: str, language: Language) -> list[Piece]:
    """Return a text in pieces, in order; together they are the text."""
    tokens = _TOKENS.get(language)
    if tokens is None:
        return list(_split(text))
    found: list[Piece] = []
    before = ""
    for token in tokens.finditer(text):
        if token["comment"]:
            found.append(Piece(token[0], is_comment=True))
        elif token["quoted"]:
            is_regex = bool(_REGEX_BEFORE.search(before))
            found += _split(token[0], token[0][0], is_regex=is_regex)
        else:
            found += _split(token[0])
        # the end is enough to find `=~`, and a long query stays fast
        before = (before + token[0])[-20:]
    return found


def _split(text: str, quote: str = "", *, is_regex: bool = False) -> Iterator[Piece]:
    for index, part in enumerate(_SPLIT.split(text)):
        # `split` puts what its group found at every second place
        if index % 2:
            yield Piece(f"{{{part}}}", part, quote, is_regex)
        elif part:
            yield Piece(part, None, quote, is_regex)


def faults(text: str, language: Language) -> Iterator[str]:
    """Yield what is wrong with the placeholders of a text, and what is allowed."""
    found = pieces(text, language)
    for piece in found:
        if piece.name is None and not piece.is_comment:
            yield from _unknown(piece, language)
        elif language is Language.PROMQL and piece.name:
            yield from _in_promql(piece)
    if language is Language.SQL:
        yield from _in_sql(found)
        if not _BEGINS.match(text):
            yield "the query must begin with SELECT, WITH or VALUES: a source is only read"


def _unknown(piece: Piece, language: Language) -> Iterator[str]:
    """Yield names in braces that were meant as placeholders."""
    # elsewhere braces have a meaning of their own: awk, JSON, arrays, repetitions
    is_strict = language is Language.ADDRESS or (language is Language.PROMQL and not piece.quote)
    for name in _WORD.findall(piece.text):
        close = difflib.get_close_matches(name.lower(), NAMES, 1, 0.75)
        if close or is_strict:
            meant = f", did you mean {{{close[0]}}}?" if close else ""
            yield f"{{{name}}} is unknown{meant}; allowed are {ALLOWED}"


def _in_promql(piece: Piece) -> Iterator[str]:
    if piece.quote == "`":
        yield f"{piece.text} stands within backquotes, where nothing can be escaped; use \"…\""
    elif not piece.quote and piece.name != "window":
        yield (f"{piece.text} is a label's value; write it within quotes, such as "
               f'{{{piece.name}="{piece.text}"}}')


def _in_sql(found: list[Piece]) -> Iterator[str]:
    for index, piece in enumerate(found):
        if piece.name is None:
            continue
        before = found[index - 1].text[-1:] if index else ""
        after = found[index + 1].text[:1] if index + 1 < len(found) else ""
        if piece.quote:
            yield (f"{piece.text} stands within quotes; write it without: it is bound as a value, "
                   "never pasted into the text")
        # a placeholder before `(` would be a function's name
        elif re.match(r"[\w.$]", before) or re.match(r"[\w.$(]", after):
            yield (f"{piece.text} is a value and cannot be a part of a name; compare a column "
                   f"with it, such as system = {piece.text}")
