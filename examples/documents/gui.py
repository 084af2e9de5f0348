"""The engine's own page: one thread with a queue of events, as every desktop program has.

It draws the board of nodes, and answers probes in the order of its queue. So whatever blocks the
thread, or fills the queue, makes the page slow, and a probe measures it.
"""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageDraw, ImageFont

PAINT_SECONDS = 0.5
"""How often the board is drawn."""
LONGEST_PROBE_SECONDS = 5.0
LINE_HEIGHT, WIDTH = 24, 620


class GuiLoop:
    """The thread of the page.

    Args:
        figures: Returns the figures of every node, for the board.
    """

    def __init__(self, figures: Callable[[], list[dict[str, Any]]]) -> None:
        self._figures = figures
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.board, self.painted = b"", 0
        threading.Thread(target=self._run, name="gui", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Events in the queue."""
        return self._events.qsize()

    def post(self, event: Callable[[], None]) -> None:
        """Have the thread of the page do something, after what is in its queue."""
        self._events.put(event)

    def probe(self) -> float | None:
        """Return how long the thread takes to answer, in seconds; None for five and more."""
        answered = threading.Event()
        began = time.perf_counter()
        self.post(answered.set)
        is_answered = answered.wait(LONGEST_PROBE_SECONDS)
        return time.perf_counter() - began if is_answered else None

    def _run(self) -> None:
        painted_at = 0.0
        while True:
            try:
                event = self._events.get(timeout=PAINT_SECONDS)
                event()
            except queue.Empty:
                pass
            if time.monotonic() - painted_at >= PAINT_SECONDS:
                self.board, painted_at = self._paint(), time.monotonic()
                self.painted += 1

    def _paint(self) -> bytes:
        """Return the board as a picture: a line for each node."""
        rows = self._figures()
        board = Image.new("RGB", (WIDTH, (len(rows) + 1) * LINE_HEIGHT), "white")
        pen, font = ImageDraw.Draw(board), ImageFont.load_default(14)
        pen.text((8, 4), time.strftime("%H:%M:%S"), font=font, fill="black")
        for number, row in enumerate(rows, 1):
            colour = "darkgreen" if row["is_alive"] else "firebrick"
            told = (f"{row['node']}: {row['executed']} done, {row['queue_length']} waiting, "
                    f"{row['avg_latency_ms']:.0f} ms, {row['success_rate']:.0%} well")
            pen.text((8, number * LINE_HEIGHT + 4), told, font=font, fill=colour)
        out = io.BytesIO()
        board.save(out, "PNG")
        return out.getvalue()
