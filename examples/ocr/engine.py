"""What an engine is: a picture in, text and confidence out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class Unreadable(Exception):
    """The bytes are no picture, or one that is too large."""


@dataclass(frozen=True)
class Reading:
    """What an engine read.

    Args:
        text: The lines of the page from top to bottom; empty when nothing was found.
        confidence: How sure the engine is (0..1), as a mean over the characters; 0 for no text.
    """

    text: str
    confidence: float


class Engine(Protocol):
    """Reads pictures."""

    name: str

    def read(self, picture: bytes) -> Reading:
        """Return what stands on a picture (PNG or JPEG).

        Raises:
            Unreadable: The bytes are no picture, or one that is too large.
        """


@dataclass(frozen=True)
class Piece:
    """A piece of text and where it stands, in pixels."""

    text: str
    confidence: float
    left: float
    middle: float
    height: float


def assemble(pieces: Iterable[Piece]) -> Reading:
    """Return pieces of text as lines, from top to bottom and from left to right.

    Two pieces stand on one line when their middles are less than half a height apart.
    """
    lines: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda each: each.middle):
        if lines and abs(lines[-1][-1].middle - piece.middle) < piece.height / 2:
            lines[-1].append(piece)
        else:
            lines.append([piece])
    ordered = [sorted(line, key=lambda each: each.left) for line in lines]
    text = "\n".join(" ".join(piece.text for piece in line) for line in ordered)
    found = [piece for line in ordered for piece in line]
    # a long line says more about the page than a short one
    characters = sum(len(piece.text) for piece in found)
    sure = sum(piece.confidence * len(piece.text) for piece in found)
    return Reading(text, sure / characters if characters else 0.0)
