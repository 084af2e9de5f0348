"""Hearing of a new routing state at once; polling stays behind it, so nothing depends on this.

Whoever provably hears may poll seldom: see `Listening.is_heard`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from changeover.observer.throttle import LogOnce
from changeover.store.engine import Store
from changeover.store.notices import Word, listening

SILENCE_SECONDS = 1.0
RETRY_SECONDS = 2.0
HEARD_SECONDS = 2.5
"""A word of the database proves for so long that the next one will be heard: two signs of who
judges (`SIGN_SECONDS`) may be late, and no more."""
SIGN_SECONDS = 1.0


class Listening:
    """Wakes whoever follows.

    Args:
        store: The store.
        migration: Name of the migration.
        wake: Called when its routing state may be another one.
        log: Where problems are logged.
    """

    def __init__(
        self, store: Store, migration: str, wake: Callable[[], None], log: LogOnce
    ) -> None:
        self._store, self._migration, self._wake, self._log = store, migration, wake, log
        self._heard = float("-inf")

    @property
    def is_heard(self) -> bool:
        """Whether a word of the database arrived within the last seconds."""
        return time.monotonic() - self._heard < HEARD_SECONDS

    def run(self, is_over: threading.Event) -> None:
        """Listen until `is_over`; a connection that ends is made anew."""
        while not is_over.is_set():
            self._log.run("listening", lambda: self._listen(is_over))
            # the connection has ended
            self._heard = float("-inf")
            is_over.wait(RETRY_SECONDS)

    def _listen(self, is_over: threading.Event) -> None:
        with listening(self._store, self._migration, seconds=SILENCE_SECONDS) as changes:
            self._wake()  # what came before it listened
            for word in changes:
                if is_over.is_set():
                    return
                if word is not None:
                    self._heard = time.monotonic()
                if word is Word.CHANGED:
                    self._wake()
