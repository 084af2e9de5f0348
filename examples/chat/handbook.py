"""What the chat knows: the sections of this project's own documentation, in a full-text index."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
LARGEST_BYTES = 128 * 1024
_HEADING = re.compile(r"^#{1,4} +(.+?)\s*$", re.MULTILINE)
_CODE = re.compile(r"^```.*?^```\s*$", re.MULTILINE | re.DOTALL)
_MARKS = re.compile(r"[`*_#|>]|\[([^\]]*)\]\([^)]*\)|<[^>]+>")


@dataclass(frozen=True, slots=True)
class Section:
    """One section: the file it is in, its heading, and its text without markup."""

    place: str
    heading: str
    text: str


def sections(folder: Path = DOCS) -> list[Section]:
    """Return the sections of every Markdown file below a folder, in the order of their files."""
    found = []
    for path in sorted(folder.rglob("*.md")):
        if path.stat().st_size <= LARGEST_BYTES:
            found += _sections_of(path.read_text("utf-8"), path.relative_to(folder).as_posix())
    return found


def _sections_of(text: str, place: str) -> list[Section]:
    # examples in code are not sentences: they would be read out as nonsense
    parts = _HEADING.split(_CODE.sub("", text))
    found = []
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        plain = " ".join(_MARKS.sub(lambda match: match.group(1) or " ", body).split())
        if len(plain) > 40:
            title = _MARKS.sub(lambda match: match.group(1) or "", heading).strip()
            found.append(Section(place, title, plain))
    return found


class Handbook:
    """The sections in an index of SQLite (FTS5), which ranks them by BM25."""

    def __init__(self, found: list[Section] | None = None) -> None:
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "CREATE VIRTUAL TABLE sections USING fts5("
            "heading, text, place UNINDEXED, tokenize = 'porter unicode61')")
        rows = [(each.heading, each.text, each.place) for each in found or sections()]
        self._database.executemany("INSERT INTO sections VALUES (?, ?, ?)", rows)
        self._database.commit()

    def search(self, words: list[str], most: int) -> list[Section]:
        """Return the sections that fit any of the words, the best first; ties by their place."""
        # quoted: else a word such as NOT would be an operator
        query = " OR ".join(f'"{word}"' for word in words)
        if not query:
            return []
        rows = self._database.execute(
            "SELECT place, heading, text FROM sections WHERE sections MATCH ? "
            "ORDER BY bm25(sections, 4.0, 1.0), place, heading LIMIT ?", (query, most))
        return [Section(*row) for row in rows]
