"""File names for people: on one line, whatever bytes they are."""

from __future__ import annotations

import os


def printable(path: object) -> str:
    """Return a path on one line: line ends, control characters and bytes that are no text escaped.

    `\\n` in a name becomes `\\x0a`, a byte that is no UTF-8 `\\xff`, a backslash two.
    """
    return "".join(_escaped(character) for character in str(path))


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    if "\ud800" <= character <= "\udfff" and not "\udc80" <= character <= "\udcff":
        return f"\\u{ord(character):04x}"
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
