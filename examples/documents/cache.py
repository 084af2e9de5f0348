"""The workflow cache: what was read once is not read again, nor after a restart."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

MOST_ENTRIES = 2_000
STEP_BYTES = 8 << 20
"""Small: whoever else works in this process waits for one step only."""


class WorkflowCache:
    """Records by the digest of their document.

    Args:
        folder: Where its files are; nobody minds when they vanish.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records: dict[str, dict[str, Any]] = {}
        self._pages: list[bytearray] = []
        self._lock = threading.Lock()
        self.hits = 0

    @property
    def held_bytes(self) -> int:
        """Memory of page pictures that are kept."""
        return sum(map(len, self._pages))

    def get(self, key: str) -> dict[str, Any] | None:
        """Return a record; None when it was not read yet."""
        with self._lock:
            found = self._records.get(key)
        if found is None:
            with suppress(OSError, ValueError):
                found = json.loads((self.folder / f"{key}.json").read_text())
        if found is not None:
            self._keep(key, found)
            self.hits += 1
        return found

    def put(self, key: str, record: dict[str, Any]) -> None:
        """Keep a record, in memory and as a file."""
        self._keep(key, record)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{key}.new"
        temporary.write_text(json.dumps(record))
        temporary.replace(self.folder / f"{key}.json")

    def hoard(self, most: int) -> None:
        """Keep page pictures as well, without a bound but `most` bytes: a fault."""
        while self.held_bytes < most:
            page = bytearray(min(STEP_BYTES, most - self.held_bytes))
            # every page is written to: memory that is only promised is no memory
            page[::4096] = b"\1" * len(page[::4096])
            self._pages.append(page)
            time.sleep(0.004)

    def clear(self) -> int:
        """Forget what is in memory; return how many bytes of pages that was."""
        held = self.held_bytes
        with self._lock:
            self._records.clear()
        self._pages = []
        return held

    def _keep(self, key: str, record: dict[str, Any]) -> None:
        with self._lock:
            self._records[key] = record
            if len(self._records) > MOST_ENTRIES:
                # the oldest: a dictionary keeps the order in which they came
                del self._records[next(iter(self._records))]
