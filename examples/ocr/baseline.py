"""The old system: a paid text recognition service. Tesseract plays its part."""

from __future__ import annotations

from examples.ocr.service import serve
from examples.ocr.tesseract import Tesseract

if __name__ == "__main__":
    serve("baseline", Tesseract, "The old system: pages read by Tesseract.")
