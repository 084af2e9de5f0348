"""Regular expressions that Python and Envoy (RE2) read alike. Pure."""

from __future__ import annotations

import re

NOT_IN_ENVOY = re.compile(
    r"\(\?(?!:)|\\[1-9AZzbBQEpPCGKRX](?![dDwWsS])|[*+?}][+]|\{,|\[\[|\[:")
"""What Python's regular expressions and those of Envoy (RE2) do not read alike."""
_BIG = re.compile(r"\{[0-9]{4,}|\\[uUNx0]|&&|--|~~|\|\||\\[\n]")


def portable(text: str) -> str:
    """Return a regular expression that both understand in the same way.

    Raises:
        ValueError: It is none, or says something that only one of them understands.
    """
    try:
        re.compile(text, re.ASCII)
    except (re.error, FutureWarning) as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error
    if found := NOT_IN_ENVOY.search(text) or _BIG.search(text):
        raise ValueError(
            f"{found[0]!r} in {text!r} is not for a gateway: groups are (?:…) or (…), without "
            "look-around, back references, flags, named classes, and signs by number")
    return text
