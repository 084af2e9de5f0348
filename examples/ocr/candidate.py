"""The new system: pages read by open neural networks on our own machine."""

from __future__ import annotations

from examples.ocr.rapid import Rapid
from examples.ocr.service import serve

if __name__ == "__main__":
    serve("candidate", Rapid, "The new system: pages read by RapidOCR.")
