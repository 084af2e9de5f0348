"""`changeover up`: start the stack and supervise it until it is asked to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from changeover.store.engine import Store
from changeover.supervisor.keeper import ASKED_TO_END, CHECK_SECONDS, Keeper
from changeover.supervisor.stack import Stack


@contextmanager
def running(stack: Stack) -> Iterator[Store]:
    """Run the stack; stop everything at the end. Nothing is restarted outside of `kept`.

    Ctrl-C and SIGTERM raise KeyboardInterrupt in the block; a second one while it stops is
    ignored, so that nothing is left running. A script's `changeover up &` starts with SIGINT
    ignored, as every background command of a shell does; here it counts all the same. A start that
    fails ends only what it started: what an earlier supervisor left goes on serving users.

    Raises:
        Refused: Another supervisor runs with this home; nothing of it is touched.
    """
    stack.refuse_second()
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    store: Store | None = None
    is_started = True
    try:
        try:
            store = stack.start()
        # also what nobody foresaw; Ctrl-C, which is none of these, asks for the end of everything
        except Exception:
            is_started = False
            raise
        yield store
    finally:
        # a second Ctrl-C must not stop the stopping
        with _ignoring_signals():
            stack.keeper.stop(spares_adopted=not is_started)
            if store is not None:
                store.close()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def kept(keeper: Keeper) -> Iterator[None]:
    """Have a thread restart what ends while the block runs."""
    done = threading.Event()
    wait = partial(done.wait, CHECK_SECONDS)
    thread = threading.Thread(target=keeper.keep, args=(wait,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        with _ignoring_signals():
            done.set()
            thread.join(10)


@contextmanager
def _ignoring_signals() -> Iterator[None]:
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in ASKED_TO_END}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
