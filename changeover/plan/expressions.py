"""Regular expressions of comparison rules: what RE2 and Python both know. Pure.

Answers have what strangers sent in them, and an expression that backtracks can be stalled by some
forty signs. RE2 never is, so it matches these, too. Neighbour: `changeover.plan.portable` has those
that the gateway matches itself, which may say less.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from changeover.plan.comparing import ComparisonSpec, Replacement
from changeover.plan.location import Location
from changeover.plan.model import Plan
from changeover.plan.portable import compiled, known_size

_AROUND = ("look-around, which RE2 does not know; match what stands around it in a group, and put "
           r"it back: pattern: '(total: )\d+', by: '\1N'")
_POSSESSIVE = "never gives back what it took, which RE2 never needs; write (?:…), and * or +"
_UNKNOWN: tuple[tuple[str, str], ...] = (
    (r"\(\?<?[=!]", _AROUND),
    (r"\(\?P=|\\[1-9]", "a back reference, which RE2 does not know; list what may stand there: "
                        "(?:aa|bb)"),
    (r"\(\?>|[*+?}]\+", _POSSESSIVE),
    (r"\(\?\(", "a condition, which RE2 does not know; write both cases: (?:…|…)"),
    (r"\(\?#", "a comment, which RE2 does not know; leave it out"),
    (r"\(\?-?[ims]*[auxL]", "a flag that RE2 does not know; allowed are i, m and s: (?i)"),
    (r"\\Z", "not known to RE2; write $, which is the very end here"),
    (r"\\[uUN]", "a sign by its number, which RE2 does not know; write the sign itself"),
    (r"\{,", "read as these signs by RE2; write {0,"),
    (r"\{[0-9,]*[0-9]{4}[0-9,]*\}", "more often than RE2 counts; 1000 is the limit"),
)
_TOKEN = re.compile("|".join([
    *(f"(?P<u{number}>{part})" for number, (part, _) in enumerate(_UNKNOWN)),
    r"\\.", r"\[\^?\]?(?:\\.|[^\]\\])*\]"]), re.DOTALL)
"""What RE2 does not know; or an escape or a class, in which the same signs mean nothing."""


def problems(plan: Plan) -> Iterator[tuple[Location, str]]:
    """Yield the expressions of comparison rules that RE2 does not match as Python reads them."""
    found: list[tuple[Location, ComparisonSpec | None]] = [(("comparison",), plan.comparison)]
    found += [(("routes", index, "comparison"), each.comparison)
              for index, each in enumerate(plan.routes)]
    for path, spec in found:
        for place, replacement in _replacements(spec) if spec is not None else ():
            if problem := _problem(replacement.pattern):
                yield (*path, *place, "pattern"), problem


def _replacements(spec: ComparisonSpec) -> Iterator[tuple[Location, Replacement]]:
    for name, text in spec.text.items():
        for index, each in enumerate(text.replace):
            yield ("text", name, "replace", index), each
    for number, rule in enumerate(spec.rules):
        for index, each in enumerate(rule.replace):
            yield ("rules", number, "replace", index), each


def _problem(text: str) -> str:
    """Return what RE2 does not know of an expression that Python knows; empty when it does."""
    for found in _TOKEN.finditer(text):
        if found.lastgroup is not None:
            why = _UNKNOWN[int(found.lastgroup[1:])][1]
            return f"{text!r} has {found[0]!r} at sign {found.start() + 1}: {why}"
    try:
        known_size(text)
    except ValueError as error:
        return str(error)
    return ""


_TEMPLATE = re.compile(
    r"\\(?:(?P<octal>0[0-7]{0,2}|[0-3][0-7]{2})|(?P<number>[1-9][0-9]?)|g<(?P<name>\w+)>"
    r"|(?P<other>.))", re.DOTALL)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


def replaced(text: str, pattern: str, by: str) -> str:
    r"""Return a text in which every match of a pattern is replaced, as `re.sub` does.

    Args:
        text: Any text.
        pattern: An expression of which `problems` says nothing.
        by: With `\1` and `\g<name>` for groups, and `\\` for a backslash.
    """
    try:
        return _replaced(text, pattern, by)
    except UnicodeEncodeError:
        # halves of surrogate pairs, which JSON may have and UTF-8 has not
        return _replaced(text.translate(_AWAY), pattern, by).translate(_BACK)


def _replaced(text: str, pattern: str, by: str) -> str:
    made, done, last = [], 0, None
    for match in _matcher(pattern).finditer(text):
        # RE2's own iterator finds an empty match that lies ahead (`\b`) more than once
        if match.span() == last:
            continue
        last = match.span()
        made.append(text[done:match.start()])
        made += [part if isinstance(part, str) else match.group(part[0]) or ""
                 for part in _template(by)]
        done = match.end()
    return "".join([*made, text[done:]]) if made else text


@lru_cache(maxsize=1000)
def _matcher(pattern: str) -> Any:
    """Return what finds a pattern: RE2, and Python for a stored plan of before it was asked."""
    return re.compile(pattern) if _problem(pattern) else compiled(pattern)


# The last plane has a sign for each half; nobody sends those.
_AWAY = {half: 0x10F800 + half - 0xD800 for half in range(0xD800, 0xE000)}
_BACK = {sign: half for half, sign in _AWAY.items()}


@lru_cache(maxsize=1000)
def _template(by: str) -> tuple[str | tuple[str | int], ...]:
    """Return what a match is replaced by: texts, and groups as tuples of their name or number."""
    return tuple(_parts(by))


def _parts(by: str) -> Iterator[str | tuple[str | int]]:
    done = 0
    for found in _TEMPLATE.finditer(by):
        yield by[done:found.start()]
        done = found.end()
        if found["octal"]:
            yield chr(int(found["octal"], 8))
        elif found["number"]:
            yield (int(found["number"]),)
        elif found["name"]:
            yield (int(found["name"]) if found["name"].isdigit() else found["name"],)
        else:
            yield _ESCAPES.get(found["other"], found[0])
    yield by[done:]
