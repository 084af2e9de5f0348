"""A server of asyncio in a thread of its own, for as long as a block runs."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator

from tests.support.processes import LONGEST_PAUSE


@contextlib.contextmanager
def in_background(
    loop: asyncio.AbstractEventLoop, begin: Callable[[], Awaitable[object]]
) -> Iterator[None]:
    """Run a loop in a thread until the block ends; its tasks are cancelled then.

    Args:
        loop: The loop, which is closed at the end.
        begin: Begins to serve; awaited before the block begins.
    """
    ready = threading.Event()

    async def serve() -> None:
        await begin()
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(LONGEST_PAUSE)
        yield
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
