"""Texts of people and systems that do nothing to the terminal which shows them. Pure."""

from __future__ import annotations

KEPT = ("\n", "\t")


def printable(text: str) -> str:
    """Return a text whose control characters are shown, not obeyed, but for line ends and tabs.

    A reason or a lever's output may hold `ESC [2J`, which would clear the screen.
    """
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character.isprintable() or character in KEPT:
        return character
    # as Python writes it: \x1b
    return character.encode("unicode_escape").decode()
