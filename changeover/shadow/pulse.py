"""How late the shadow service itself was, so that it does not blame the candidate.

The service runs only when no other process needs the processor. On a busy machine it may not run
for many seconds, and then every call seems to have timed out, although the answer came at once.
"""

from __future__ import annotations

import asyncio
import time

EVERY = 0.1
"""Seconds between two beats."""


class Pulse:
    """Beats in an event loop, and adds up how late its beats came.

    `late` is in seconds since it began to run, and only grows.
    """

    def __init__(self) -> None:
        self.late = 0.0

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            # Anew each time: a beat that came late must not make the next ones late, too.
            due = time.monotonic() + EVERY
            await asyncio.sleep(EVERY)
            self.late += max(0.0, time.monotonic() - due)
