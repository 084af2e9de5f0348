"""What both systems answer about a document."""

from __future__ import annotations

from typing import Any

LONGEST_TITLE = 60


def record_of(name: str, kind: str, text: str, pages: int) -> dict[str, Any]:
    """Return the record of a document that was read.

    Args:
        name: The document's id.
        kind: `text`, `pdf` or `picture`.
        text: What was read in it.
        pages: How many pages it has.
    """
    words = text.split()
    title = ""
    for word in words:
        if len(title) + len(word) >= LONGEST_TITLE:
            break
        title = f"{title} {word}".strip()
    return {"id": name, "kind": kind, "pages": pages, "title": title, "words": len(words),
            "text": " ".join(words)}
