"""Real documents of this machine: texts, PDF and pages as pictures, each with the text in it.

The texts are what installed packages say of themselves and their licences. PDF and pictures are
made of licences, so that it is known what a reader of them must find.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from dataclasses import dataclass
from importlib import metadata

from examples.documents.paper import as_page, as_pdf

MOST_TEXT, MOST_PDF, PAGE_LINES, PAGE_COLUMNS = 6_000, 5_000, 4, 46
MEDIA = {"txt": "text/plain", "pdf": "application/pdf", "png": "image/png"}
PACKAGES = ("alembic", "click", "fastapi", "httpx", "jinja2", "pandas", "prefect", "pydantic",
            "requests", "rich", "sqlalchemy", "uvicorn")
"""Packages that Changeover itself needs, so that they are on every machine."""
_TAG = re.compile(r"<[^<>]*>")


@dataclass(frozen=True, slots=True)
class Document:
    """One document.

    Args:
        id: Its name, safe in addresses: `httpx.pdf`.
        media: Its media type.
        content: The document itself.
        truth: The text that is in it.
    """

    id: str
    media: str
    content: bytes
    truth: str


def load() -> dict[str, Document]:
    """Return the documents by id, in a stable order."""
    found = []
    for name in PACKAGES:
        distribution = metadata.distribution(name)
        body = (distribution.read_text("METADATA") or "").partition("\n\n")[2]
        found.append(_text(f"{name}.txt", _readable(_plain(body))[:MOST_TEXT]))
        licence = _plain(_licence(distribution))
        found.append(_pdf(f"{name}.pdf", licence[:MOST_PDF]))
        found.append(_page(f"{name}.png", licence))
    return {each.id: each for each in found}


def letter(user: str, number: int, kind: str) -> Document:
    """Return a letter that a user sends, as `txt`, `pdf` or `png`; the same for the same number."""
    text = (f"Letter {number} of {user}\n\nPlease send {number % 7 + 2} copies of the report "
            f"to room {number % 90 + 10}. The invoice of {number * 37 % 9000 + 100} euro was paid.")
    make = {"txt": _text, "pdf": _pdf, "png": _page}[kind]
    return make(f"{user}-{number}.{kind}", text)


def _text(name: str, text: str) -> Document:
    return Document(name, MEDIA["txt"], text.encode(), text)


def _pdf(name: str, text: str) -> Document:
    return Document(name, MEDIA["pdf"], as_pdf(text), text)


def _page(name: str, text: str) -> Document:
    lines = textwrap.wrap(" ".join(text.split()), PAGE_COLUMNS)[:PAGE_LINES]
    return Document(name, MEDIA["png"], as_page(lines), "\n".join(lines))


def _licence(distribution: metadata.Distribution) -> str:
    for path in distribution.files or []:
        if "licen" in path.name.lower() and path.suffix not in (".py", ".pyc"):
            return path.read_text("utf-8")
    return str(distribution.metadata["Summary"] or distribution.name)


def _readable(text: str) -> str:
    """Return a text without tags, badges and tables, as people would write it."""
    lines = _TAG.sub("", text).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("[!", "|", "..")))


def _plain(text: str) -> str:
    """Return a text in characters that every font has."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
