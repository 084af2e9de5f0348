"""What the observer has to tell people, kept in memory until the store takes it."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from changeover import clock
from changeover.domain.messages import Message, Severity
from changeover.store import messages
from changeover.store.engine import Store

MOST = 100


class Notices:
    """Put by any thread, flushed by the one that talks to the store."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Severity, str, str, datetime]] = deque(maxlen=MOST)

    def put(self, severity: Severity, title: str, body: str) -> None:
        """Tell people of `title`; the same one again within ten minutes is told once."""
        if all(known[1] != title for known in list(self._waiting)):
            self._waiting.append((severity, title, body, clock.now()))

    def flush(self, store: Store, migration: str) -> None:
        """Hand everything to the store, whose messages are sent.

        Raises:
            StoreError: It does not take them; they stay.
        """
        while self._waiting:
            severity, title, body, at = self._waiting[0]
            messages.put(store, Message(
                migration, key=title, severity=severity, title=title, body=body, at=at))
            self._waiting.popleft()
