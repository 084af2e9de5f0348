"""PDF by PDFium, which is not made for several threads."""

from __future__ import annotations

import threading

import pypdfium2

from examples.documents.classic import Unreadable

_LOCK = threading.Lock()


def read_pdf(content: bytes) -> tuple[str, int]:
    """Return the text of a PDF and how many pages it has.

    Raises:
        Unreadable: It is no PDF, or a broken one.
    """
    with _LOCK:
        try:
            document = pypdfium2.PdfDocument(content)
        except pypdfium2.PdfiumError as error:
            raise Unreadable(f"no PDF: {error}") from error
        try:
            texts = []
            for page in document:
                text = page.get_textpage()
                texts.append(text.get_text_bounded())
                text.close()
                page.close()
            return "\n".join(texts), len(texts)
        finally:
            document.close()
