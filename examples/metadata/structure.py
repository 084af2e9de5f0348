"""What both parsers say of free text: its size and headings; each finds headings its own way."""

from __future__ import annotations

from typing import Any


def describe(text: str, headings: list[str]) -> dict[str, Any]:
    """Return size and headings of a text."""
    return {
        "characters": len(text),
        "words": len(text.split()),
        "lines": text.count("\n") + 1 if text else 0,
        "headings": headings[:50],
        "links": text.count("https://") + text.count("http://"),
    }
