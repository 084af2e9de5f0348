"""What `changeover demo ocr` runs."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from changeover.supervisor.examples import Example, Fault


def lacking() -> str | None:
    """Return what this machine lacks, and what to install; None: nothing."""
    steps = []
    if shutil.which("tesseract") is None:
        steps.append("apt-get install tesseract-ocr")
    if not all(map(find_spec, ("rapidocr", "onnxruntime", "pytesseract"))):
        steps.append("pip install -c constraints.txt -e '.[ocr]'")
    if not steps:
        return None
    return f"The two engines are not all here; install them: {' && '.join(steps)}"


EXAMPLE = Example(
    about="Pages are read by an open engine (RapidOCR) instead of a paid service (Tesseract).",
    load="examples.ocr.load",
    speed=5000,
    rate=2.5,
    users=200,
    faults={
        "errors": Fault("a third of its answers are errors"),
        "some_errors": Fault("one of thirteen answers is an error"),
        "unreadable": Fault("it reads nothing on every fifth page"),
        "some_unreadable": Fault("it reads nothing on one of thirteen pages"),
        "late": Fault("each page takes 33 seconds longer"),
        "slow": Fault("each page takes 63 seconds longer"),
        "unsure": Fault("it gets the pages five times too small and is unsure of its text"),
        "garbled": Fault("every letter is its neighbour, and it is as sure as ever"),
        "offline": Fault("its engine is gone: errors, and its health says so"),
        "hang": Fault("it takes requests and never answers"),
        "crash": Fault("its process is killed"),
        "memory": Fault("its memory grows"),
        "cloud_down": Fault("the paid service is gone", to="baseline"),
    },
    needs=lacking,
)
