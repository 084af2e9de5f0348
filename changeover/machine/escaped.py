"""File names for people: on one line, whatever bytes they are."""

from __future__ import annotations

import os


def escaped(path: object) -> str:
    """Return a path on one line, with line ends, control characters and odd bytes escaped.

    A line end becomes `\\x0a`, a byte that is not UTF-8 `\\xff`, a backslash two backslashes.
    """
    return "".join(_escaped_character(character) for character in str(path))


def _escaped_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    if "\ud800" <= character <= "\udfff" and not "\udc80" <= character <= "\udcff":
        return f"\\u{ord(character):04x}"
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
