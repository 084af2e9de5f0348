"""The old system: package metadata by `email.parser`, as people did before there was a library."""

from __future__ import annotations

import re
from email.parser import HeaderParser
from typing import Any

from examples.metadata.service import serve
from examples.metadata.structure import describe

_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def parse(text: str) -> dict[str, Any]:
    """Return a document as a record; a document without metadata is described as text."""
    message = HeaderParser().parsestr(text)
    name = message.get("Name")
    if not name:
        return {"kind": "text", "text": describe(text, _HEADING.findall(text))}
    body = str(message.get_payload() or message.get("Description") or "")
    return {
        "kind": "package",
        "name": name,
        "version": message.get("Version"),
        "summary": message.get("Summary"),
        "author": message.get("Author") or message.get("Author-email"),
        "license": message.get("License-Expression") or message.get("License"),
        "requires_python": message.get("Requires-Python"),
        "requires": message.get_all("Requires-Dist") or [],
        "classifiers": message.get_all("Classifier") or [],
        "keywords": [w.strip() for w in (message.get("Keywords") or "").split(",") if w.strip()],
        "urls": _urls(message.get_all("Project-URL") or []),
        "description": describe(body, _HEADING.findall(body)),
    }


def _urls(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(",") for line in lines)
    return {label.strip(): address.strip() for label, _, address in pairs}


if __name__ == "__main__":
    serve("baseline", parse, "The old system: documents parsed with email.parser.")
