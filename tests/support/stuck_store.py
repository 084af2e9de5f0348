"""A store that does not answer until a test lets it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from changeover.store.engine import Store


class StuckStore(Store):
    """A store whose transactions begin only after `answers` is set."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.engine)
        self.answers = threading.Event()
        self.waiting = 0

    @contextmanager
    def begin(self, *, is_durable: bool = True) -> Iterator[Session]:
        self.waiting += 1
        self.answers.wait(60)
        with super().begin(is_durable=is_durable) as session:
            yield session
        self.waiting -= 1
