"""The process that writes to the store for the shadow service, at normal priority.

The service runs only when no other process needs the processor. On a busy machine it could stop for
seconds in the middle of a write transaction, and everybody who waits for the store would stop with
it, even an emergency rollback. So another process does nothing but write, at normal priority. It
reads pieces of work from a pipe, and ends when that ends, also when the service is killed.

It is a fork, so that both have the same modules in memory only once.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Protocol

from changeover.errors import ChangeoverError, StoreError
from changeover.site.home import Home
from changeover.store.engine import Store

BROKEN = "the process that writes for the shadow service has ended"


class Writes(Protocol):
    """Calls a function with the store: `function(store, *arguments, **named)`."""

    def do(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Return what the function returned, raise what it raised."""


class InThisProcess:
    """Calls it in this process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def do(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Return what the function returned, raise what it raised."""
        return function(self._store, *arguments, **named)


class WriterProcess:
    """Calls it in a process that has its own session, and so its own scheduling group.

    Create it before this process lowers its priority, which a child inherits, and before it has
    threads or connections, which a fork may not share.
    """

    def __init__(self, home: Home) -> None:
        self._lock = threading.Lock()
        context = get_context("fork")
        self._pipe, its_end = context.Pipe()
        self._process = context.Process(target=_write, args=(home, its_end, self._pipe))
        self._process.start()
        its_end.close()  # so that its death is the end of the pipe

    def do(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Return what the function returned, raise what it raised; one call at a time.

        Raises:
            StoreError: The process has ended.
        """
        with self._lock:
            try:
                self._pipe.send((function, arguments, named))
                result, problem = self._pipe.recv()
            except (EOFError, OSError) as error:
                raise StoreError(
                    BROKEN, next_step="It is started again with the service") from error
        if problem is not None:
            raise problem
        return result

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.exitcode is not None

    def close(self) -> None:
        """Wait until the process has finished, and end it."""
        with self._lock:
            self._pipe.close()
            self._process.join()


def _write(home: Home, pipe: Connection, its_other_end: Connection) -> None:
    """Do the work that comes in, until nothing more can come."""
    # Otherwise the end of the service would not be the end of the pipe.
    its_other_end.close()
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT):
        # The service ends it when all is written.
        signal.signal(number, signal.SIG_IGN)
    store: Store | None = None
    while True:
        try:
            function, arguments, named = pipe.recv()
        except (EOFError, OSError):
            return
        result: Any = None
        problem: Exception | None = None
        try:
            store = store or Store.open(home.store_url)
            result = function(store, *arguments, **named)
        except ChangeoverError as error:
            error.__cause__ = error.__context__ = None
            problem = error
        # Logged here; the service retries without it.
        except Exception as error:
            logging.exception("something could not be written")
            problem = RuntimeError(f"{type(error).__name__}: {error}")
        pipe.send((result, problem))
