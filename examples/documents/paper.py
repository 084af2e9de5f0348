"""Documents on paper: a text as PDF, lines as the picture of a page."""

from __future__ import annotations

import html
import io

from PIL import Image, ImageDraw, ImageFont
from reportlab.lib.pagesizes import A5
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.platypus import Paragraph, SimpleDocTemplate

LINE_HEIGHT, MARGIN, FONT_SIZE = 32, 20, 22
PAPER, INK = 250, 30
"""Grey values: scanned paper is not white, ink not black."""


def as_pdf(text: str) -> bytes:
    """Return a PDF of a text; its paragraphs are parted by empty lines."""
    style = getSampleStyleSheet()["Normal"]
    parts = [Paragraph(html.escape(" ".join(part.split())), style)
             for part in text.split("\n\n") if part.strip()]
    out = io.BytesIO()
    # invariant: the same text is the same file, so that it has the same digest
    SimpleDocTemplate(out, pagesize=A5, invariant=True).build(parts or [Paragraph("-", style)])
    return out.getvalue()


def as_page(lines: list[str]) -> bytes:
    """Return a page with some lines as a PNG."""
    font = ImageFont.load_default(FONT_SIZE)
    width = max((int(font.getlength(line)) for line in lines), default=0) + 2 * MARGIN
    page = Image.new("L", (max(200, width), len(lines) * LINE_HEIGHT + 2 * MARGIN), PAPER)
    pen = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        pen.text((MARGIN, MARGIN + number * LINE_HEIGHT), line, font=font, fill=INK)
    out = io.BytesIO()
    page.save(out, "PNG")
    return out.getvalue()
