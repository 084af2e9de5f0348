"""Regular expressions of segments and routes, which the gateway and Python read alike. Pure.

Both match with RE2, so their time grows with the length of the text and of the expression, and
never by more: no request can stall the console or a flow. Python's own `re` can be stalled by some
forty signs of a path. What expressions may say is what both RE2 and `re` understand.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

NOT_IN_ENVOY = re.compile(
    r"\(\?(?!:)|\\[1-9AZzbBQEpPCGKRX](?![dDwWsS])|[*+?}][+]|\{,|\[\[|\[:")
"""What Python's regular expressions and those of Envoy (RE2) do not read alike."""
_BIG = re.compile(r"\{[0-9]{4,}|\\[uUNx0]|&&|--|~~|\|\||\\[\n]")
MOST_STEPS = 10_000
"""Steps of an expression's program; a sign of a text costs some microseconds at the very most."""


def portable(text: str) -> str:
    """Return a regular expression that both understand in the same way.

    Raises:
        ValueError: It is none, or says something that only one of them understands.
    """
    if found := NOT_IN_ENVOY.search(text) or _BIG.search(text):
        _refuse_what_is_none(text)
        raise ValueError(
            f"{found[0]!r} in {text!r} is not for a gateway: groups are (?:…) or (…), without "
            "look-around, back references, flags, named classes, and signs by number")
    return bounded(text)


def bounded(text: str) -> str:
    """Return a regular expression that RE2 takes, and matches in a bounded time for each sign.

    Raises:
        ValueError: It is none, or too large.
    """
    _refuse_what_is_none(text)
    return known_size(text, "is not for a gateway")


def known_size(text: str, problem: str = "is not for RE2, which matches it") -> str:
    """Return a regular expression that RE2 takes, and that is not too large.

    Args:
        text: The expression.
        problem: What is said of one that RE2 does not take.

    Raises:
        ValueError: It does not take it, or it is too large.
    """
    import re2

    try:
        steps = compiled(text).programsize
    except re2.error as error:
        why = error.args[0].decode() if error.args else "it is not known there"
        raise ValueError(f"{text!r} {problem}: {why}") from None
    if steps > MOST_STEPS:
        raise ValueError(f"{text!r} is too large: {steps:,} steps, and {MOST_STEPS:,} are the "
                         "limit; use smaller numbers in {…}")
    return text


def matches(expression: str, text: str) -> bool:
    """Whether an expression matches a whole text; never one that is not UTF-8."""
    try:
        return compiled(expression).fullmatch(text) is not None
    except UnicodeEncodeError:
        return False


def matched(expression: str, text: str) -> tuple[str | None, ...] | None:
    """Return the groups of an expression that matches a whole text; None when it does not."""
    try:
        found = compiled(expression).fullmatch(text)
    except UnicodeEncodeError:
        return None
    return None if found is None else found.groups()


def _refuse_what_is_none(text: str) -> None:
    try:
        re.compile(text, re.ASCII)
    except (re.error, FutureWarning, OverflowError) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error


@lru_cache(maxsize=1000)
def compiled(expression: str) -> Any:
    """Return an expression of RE2's; raises re2.error when that does not know it."""
    # imported where an expression is: most plans have none
    import re2

    options = re2.Options()
    options.log_errors = False
    return re2.compile(expression, options=options)
