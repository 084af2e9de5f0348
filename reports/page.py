"""What a report of any kind is made of: a verdict, a few numbers, sections of texts and tables.

Pure. A kind of report turns its data into a `Page`; HTML and Markdown are made of that alone, so
that both say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from reports import text
from reports.canvas import Chart

Look = Literal["plain", "good", "warn", "bad"]
"""How a text is shown: never by colour alone, each look has its own sign."""
MOST_ROWS = 60
"""Rows of a table that are shown; the JSON report has all."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One of the few numbers at the top of the page."""

    label: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; what stands between backticks is shown as code."""

    text: str
    look: Look = "plain"


@dataclass(frozen=True, slots=True)
class Items:
    """A list of sentences, each with its look."""

    items: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of plain texts; `left_out` rows are in the JSON report only."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Pairs:
    """Values of both systems side by side, the part that differs marked."""

    title: str
    hint: str
    head: tuple[str, str, str]
    rows: tuple[tuple[str, str, str | None, str | None], ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """How near something came to its bound: `share` 0..1 of the way, as a bar with words."""

    label: str
    share: float
    words: str
    look: Look


@dataclass(frozen=True, slots=True)
class Bars:
    """Several bars."""

    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Lines of a program or a file, as they are."""

    title: str
    lines: tuple[str, ...]


Part = Text | Items | Table | Pairs | Bars | Code | Chart


@dataclass(frozen=True, slots=True)
class Section:
    """A section of a page; `key` is its anchor."""

    key: str
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report.

    Args:
        kind: Which kind of report.
        migration: Name of the migration.
        subject: What it is about, as `cutover 3`.
        look: The colour of the banner.
        title: What it says in a word.
        sentence: What it says in a sentence.
        facts: Names and values in the banner.
        tiles: The numbers that a reader wants first.
        sections: The rest.
        systems: The names that people gave both systems.
        generated_at: When it was written.
        version: Of the program.
    """

    kind: str
    migration: str
    subject: str
    look: Look
    title: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    systems: dict[str, str]
    generated_at: datetime
    version: str


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "",
    most: int = MOST_ROWS,
) -> Table:
    """Return a table of at most so many rows, which says how many it leaves out."""
    every = [tuple(row) for row in rows]
    left_out = max(0, len(every) - most)
    return Table(caption, tuple(head), tuple(every[:most]), left_out)


def items(texts: Iterable[str], look: Look = "plain") -> Items:
    """Return sentences of one look as a list."""
    return Items(tuple(Text(each, look) for each in texts))


def as_markdown(page: Page) -> str:
    """Return the page as Markdown: the same content without charts."""
    facts = [("", ""), *page.facts, ("report", text.moment(page.generated_at))]
    tiles = [(tile.label, tile.value, tile.note) for tile in page.tiles]
    parts = [
        f"# {text.markdown(page.migration)}: {text.markdown(page.title)}",
        f"**{text.SIGNS[page.look]}** {_prose(page.sentence)}",
        text.markdown_table(facts[0], facts[1:]),
    ]
    if tiles:
        parts.append(text.markdown_table(("", "value", ""), tiles))
    for section in page.sections:
        parts.append(f"## {text.markdown(section.title)}")
        for part in section.parts:
            parts += _part(part)
    return "\n\n".join(parts) + "\n"


def _part(part: Part) -> Iterator[str]:
    """Yield the Markdown of a part; a chart is said in words."""
    if isinstance(part, Text):
        yield _signed(part)
    elif isinstance(part, Items):
        yield "\n".join(f"- {_signed(each)}" for each in part.items)
    elif isinstance(part, Table):
        yield from _table(part)
    elif isinstance(part, Bars):
        rows = [(bar.label, f"{bar.share:.0%}", bar.words) for bar in part.bars]
        yield text.markdown_table(("", "of the way", ""), rows)
    elif isinstance(part, Pairs):
        yield f"### {text.markdown(part.title)}"
        rows = [(f"{each[0]} {each[1]}", _side(each[2]), _side(each[3])) for each in part.rows]
        yield text.markdown_table(part.head, rows)
    elif isinstance(part, Code):
        yield _fenced(part)
    else:
        yield text.markdown(part.summary)


def _table(part: Table) -> Iterator[str]:
    if part.caption:
        yield f"**{text.markdown(part.caption)}**"
    yield text.markdown_table(part.head, part.rows)
    if part.left_out:
        yield f"and {text.count(part.left_out)} more, which are in the JSON report"


def _fenced(part: Code) -> str:
    # a line may hold backticks: the fence must not end there
    longest = max((len(line) - len(line.lstrip("`")) for line in part.lines), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"**{text.markdown(part.title)}**", "", fence, *part.lines, fence])


def _side(value: str | None) -> str:
    return "missing" if value is None else value


def _signed(part: Text) -> str:
    sign = "" if part.look == "plain" else f"**{text.SIGNS[part.look]}** "
    return sign + _prose(part.text)


def _prose(value: str) -> str:
    """Return a text for Markdown in which what stands between backticks stays code."""
    parts = value.split("`")
    # without a partner a backtick is one that somebody typed
    if len(parts) % 2 == 0:
        return text.markdown(value)
    for place, part in enumerate(parts):
        if place % 2 == 0:
            blanks = " " if part.startswith(" ") else "", " " if part.endswith(" ") else ""
            inner = text.markdown(part)
            parts[place] = f"{blanks[0]}{inner}{blanks[1]}" if inner else " " * bool(part)
    return "`".join(parts)
