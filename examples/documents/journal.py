"""What the engine did, line by line, for a while: temporary, and cleaned up by a rollback."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path


class Journal:
    """A file of this process in a folder.

    Args:
        folder: The folder, made when something is noted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    def note(self, what: str, name: str) -> None:
        """Add a line."""
        line = json.dumps({"at": round(time.time(), 3), "what": what, "document": name})
        with self._lock:
            # opened for each line: a clean-up may have moved the file meanwhile
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / f"{os.getpid()}.jsonl").open("a") as file:
                file.write(line + "\n")
