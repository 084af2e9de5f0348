"""The legacy pipeline: one document after the other, read, described, answered; nothing is kept.

Its configuration is a file. A cutover's last stage puts it into stand-by (`stand_by`), where it
gives its picture reader's memory back after each page; a rollback restores the file (`restore`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from examples.documents import classic
from examples.documents.record import record_of

NORMAL = {"stand_by": False, "keep_reader": True}


class LegacyPipeline:
    """Reads documents in its caller's thread.

    Args:
        folder: Where its configuration lies: `legacy.json`, and beside it what it was before.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file, self._saved = folder / "legacy.json", folder / "legacy.saved.json"
        self._pages = classic.PageReader()
        if not self.file.exists():
            self.file.write_text(json.dumps(NORMAL))
        self.settings: dict[str, Any] = json.loads(self.file.read_text())

    def process(self, name: str, content: bytes) -> dict[str, Any]:
        """Return the record of a document.

        Raises:
            classic.Unreadable: Nobody can read it.
        """
        kind = classic.kind_of(content)
        pages = 1
        if kind == "pdf":
            text, pages = classic.read_pdf(content)
        elif kind == "picture":
            text = self._pages.read(content)
            if not self.settings["keep_reader"]:
                self._pages.unload()
        else:
            text = classic.read_text(content)
        return record_of(name, kind, text, pages)

    def stand_by(self) -> None:
        """Save the configuration and need as little as possible; safe to do again."""
        if not self._saved.exists():
            self._saved.write_text(self.file.read_text())
        self._use({"stand_by": True, "keep_reader": False})
        self._pages.unload()

    def restore(self) -> None:
        """Use the configuration again that was saved; nothing to do without one."""
        if self._saved.exists():
            self._use(json.loads(self._saved.read_text()))
            self._saved.unlink()

    def _use(self, settings: dict[str, Any]) -> None:
        temporary = self.file.with_suffix(".new")
        temporary.write_text(json.dumps(settings))
        temporary.replace(self.file)
        self.settings = settings
