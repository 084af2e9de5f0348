"""The demo of plans/documents.yaml: what runs beside the two systems, and what can go wrong."""

from __future__ import annotations

from importlib.util import find_spec

from changeover.supervisor.examples import Example, Fault, Service

NEEDED = ("rapidocr", "onnxruntime", "tesserocr", "tessdata", "pypdf", "pypdfium2", "reportlab",
          "yake")


def lacking() -> str | None:
    """Return what is missing for this demo and how to install it; None when nothing is."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if not missing:
        return None
    return (f"Missing: {', '.join(missing)}. Install: "
            "pip install -c constraints.txt -e '.[documents]'")


EXAMPLE = Example(
    about="A legacy document pipeline is replaced by a node engine with AI nodes.",
    speed=50_000, rate=30.0, users=300,
    load="examples.documents.load",
    services=(Service("ai", "examples.documents.ai", port=8115),),
    faults={
        "errors": Fault("a third of its answers are errors: everyone is rolled back"),
        "crash": Fault("it is killed: guardrail `down` rolls back"),
        "hang": Fault("it never answers again: guardrail `errors` rolls back"),
        "latency": Fault("every answer comes 0.4 s later: shown, nothing is done"),
        "notfound": Fault("it answers 404 to everybody: a guardrail rolls back"),
        "empty": Fault("its answers have no body: a guardrail rolls back"),
        "wrong": Fault("12 % of its answers are another document's: people are asked"),
        "memory": Fault("it takes more memory than its red line: repaired"),
        "node": Fault("a node dies: repaired, its tasks go to another one"),
        "locked": Fault("a job holds the database's lock: repaired"),
        "gui_slow": Fault("its page answers after 220 ms: back-pressure"),
        "gui_frozen": Fault("its page does not answer: AI work is paused"),
        "down": Fault("the AI services are killed: repaired, read without AI", to="ai"),
        "stopped": Fault("the AI services hang: repaired, read without AI", to="ai"),
        "ocr_down": Fault("the OCR service fails, the pair is ill: repaired", to="ai"),
        "llm_down": Fault("the text service fails, the pair is ill: repaired", to="ai"),
    },
    needs=lacking,
)
