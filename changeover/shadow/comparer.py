"""One of the processes that compare: `python -m changeover.shadow.comparer`, started by `helpers`.

Its input is a socket, over which come the plan and exchanges; what it finds goes back over it. It
knows neither the store nor the gateway, and ends when the other end of the socket is gone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from typing import Any

import uvloop

from changeover.shadow.comparing import Comparing, Work
from changeover.shadow.helpers import ALIVE, LOOK_SECONDS, Asked, Found, Paused
from changeover.shadow.pipes import Pipe

LOG = logging.getLogger("changeover.shadow")
_LINE = "%(asctime)s %(levelname)s %(message)s"
"""As services log (`site.service_main`, which brings the store and half a second of imports)."""


class Comparer:
    """Compares what comes in."""

    def __init__(self) -> None:
        self.is_over = asyncio.Event()
        self._pipe = Pipe(self._take, self.is_over.set)
        self._comparing: Comparing | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, end: socket.socket) -> None:
        """Compare until the other end is gone."""
        await self._pipe.open(end)
        await self.is_over.wait()
        for task in list(self._tasks):
            task.cancel()
        if self._comparing is not None:
            await self._comparing.close()

    def _take(self, message: Any) -> None:
        if isinstance(message, Work):
            self._comparing = Comparing(message)
            self._begin(self._comparing.run())
            self._begin(self._beat())
        elif self._comparing is None:
            raise TypeError("the plan comes first")
        elif isinstance(message, Paused):
            self._comparing.pause(message.why)
        else:
            self._begin(self._compare(self._comparing, message))

    def _begin(self, work: Any) -> None:
        # the loop alone keeps no task alive
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _beat(self) -> None:
        while True:
            self._pipe.send(ALIVE)
            await asyncio.sleep(LOOK_SECONDS)

    async def _compare(self, comparing: Comparing, asked: Asked) -> None:
        try:
            found = await comparing.compare(asked.exchange, saves_answers=asked.saves_answers)
            self._pipe.send(Found(asked.number, found))
        # one odd exchange, or an answer that cannot be sent, must not end the process or leave the
        # reader waiting; it is counted and logged
        except Exception:
            LOG.exception("an exchange could not be compared")
            self._pipe.send(Found(asked.number, "dropped: not comparable"))


def main() -> int:
    """Compare until the reader is gone; return the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        # the reader ends it when what is under way is done
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=_LINE)
    # as in the reader: what exists now stays, and bodies are freed without collections
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    uvloop.run(_run())
    return 0


async def _run() -> None:
    await Comparer().run(socket.socket(fileno=0))


if __name__ == "__main__":
    sys.exit(main())
