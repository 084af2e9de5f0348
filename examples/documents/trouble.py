"""What can go wrong in the node engine itself: a dead node, a locked database, a page that freezes.

Each is a fault of the engine's own parts, which its repairs and its back-pressure really end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from examples.documents.engine import NodeEngine
from examples.documents.gui import GuiLoop

KINDS = ("memory", "node", "locked", "gui_slow", "gui_frozen")
REPAINTS, REPAINT_SECONDS = 12, 0.0185
"""As many repaints wait before a probe: together 220 ms, between slow (200) and frozen (300)."""


class Trouble:
    """Begins the engine's own faults.

    Args:
        engine: The engine.
        gui: The thread of its page.
    """

    def __init__(self, engine: NodeEngine, gui: GuiLoop) -> None:
        self._engine, self._gui = engine, gui
        self._over = threading.Event()

    def begin(self, kind: str) -> None:
        """Begin a fault; any other word ends those that do not end by their repair."""
        self._over.set()
        self._over = threading.Event()
        if kind == "memory":
            limit = int(self._engine.switches.value("memory_limit_mb")) * 1_050_000
            self._spawn(lambda: self._engine.cache.hoard(limit))
        elif kind == "node":
            self._engine.nodes["pdf"].die()
        elif kind == "locked":
            self._spawn(self._engine.records.begin_report)
        elif kind == "gui_slow":
            self._spawn(self._import_slowly)
        elif kind == "gui_frozen":
            self._spawn(self._import_blocking)

    def _import_slowly(self) -> None:
        """Import a pile of documents by AI, and have the page drawn anew for each result."""
        over = self._over
        while not over.wait(0.01):
            # without AI work there are no results
            while self._engine.scheduler.limit and self._gui.waiting < REPAINTS:
                self._gui.post(lambda: time.sleep(REPAINT_SECONDS))

    def _import_blocking(self) -> None:
        """Have the page's own thread wait for AI work, again and again."""
        over, paused = self._over, self._engine.scheduler.paused

        def wait_for_ai() -> None:
            # cancelled when AI work is paused: only that sets the page free
            while not (over.is_set() or paused.wait(0.05)):
                pass

        while not over.wait(0.1):
            if not paused.is_set() and not self._gui.waiting:
                self._gui.post(wait_for_ai)

    @staticmethod
    def _spawn(work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()
