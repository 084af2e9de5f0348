"""Messages of the observer to people, in memory until the store can be written."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from changeover import clock
from changeover.domain.messages import Message, Severity
from changeover.store import messages
from changeover.store.engine import Store

MOST = 100


class Notices:
    """Filled by any thread, flushed by the one that writes to the store."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Severity, str, str, datetime]] = deque(maxlen=MOST)

    def put(self, severity: Severity, title: str, body: str) -> None:
        """Notify people of `title`; the same again within ten minutes is not sent."""
        # a copy: another thread may add one meanwhile
        if all(known[1] != title for known in list(self._waiting)):
            self._waiting.append((severity, title, body, clock.now()))

    def flush(self, store: Store, migration: str) -> None:
        """Save everything in the store, from where it is sent.

        Raises:
            StoreError: The store cannot be written; the messages stay.
        """
        while self._waiting:
            # the first is removed only when it is saved: a failure keeps it
            severity, title, body, at = self._waiting[0]
            messages.put(store, Message(
                migration, key=title, severity=severity, title=title, body=body, at=at))
            self._waiting.popleft()
