"""`changeover up`: start the stack and supervise it until it is asked to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from changeover.errors import ChangeoverError
from changeover.store.engine import Store
from changeover.supervisor.stack import Stack

CHECK_SECONDS = 0.2


@contextmanager
def running(stack: Stack) -> Iterator[Store]:
    """Run the stack, with a thread that restarts what ends; stop everything at the end.

    Ctrl-C and SIGTERM raise KeyboardInterrupt in the block; a second one while it stops is
    ignored, so that nothing is left running. A script's `changeover up &` starts with SIGINT
    ignored, as every background command of a shell does; here it counts all the same. A start that
    fails ends only what it started: what an earlier supervisor left goes on serving users.

    Raises:
        Refused: Another supervisor runs with this home; nothing of it is touched.
    """
    stack.refuse_second()
    done = threading.Event()
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=_supervise, args=(stack, done), daemon=True)
    store: Store | None = None
    is_started = True
    try:
        try:
            store = stack.start()
        except ChangeoverError:
            is_started = False
            raise
        thread.start()
        yield store
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        done.set()
        if thread.is_alive():
            thread.join(10)
        stack.stop(spares_adopted=not is_started)
        if store is not None:
            store.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, previous)


def _supervise(stack: Stack, done: threading.Event) -> None:
    while not done.wait(CHECK_SECONDS):
        stack.revive()
