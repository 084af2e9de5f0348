"""Tesseract, which plays the paid service: one process for each page."""

from __future__ import annotations

import os

import pytesseract

from examples.ocr.engine import Piece, Reading, assemble
from examples.ocr.pixels import opened

LONGEST_SECONDS = 30
_SETTINGS = "--psm 6 --dpi 150"
"""A page is one block of text; these pictures say nothing of their resolution."""


class Tesseract:
    """The old engine."""

    name = "tesseract"

    def __init__(self) -> None:
        # one page at a time: its threads would only take each other's cores
        os.environ["OMP_THREAD_LIMIT"] = "1"

    def read(self, picture: bytes) -> Reading:
        """Return what stands on a picture."""
        words = pytesseract.image_to_data(
            opened(picture), config=_SETTINGS, timeout=LONGEST_SECONDS,
            output_type=pytesseract.Output.DICT)
        return assemble(
            Piece(text, float(words["conf"][at]) / 100, float(words["left"][at]),
                  # words of a line differ in height; its number tells where they belong
                  1000.0 * words["block_num"][at] + words["line_num"][at], 1.0)
            for at, text in enumerate(words["text"]) if text.strip())

