"""The process that writes to the store for the shadow service, at normal priority.

The service runs only when no other process needs the processor. On a busy machine it could stop for
seconds in the middle of a write transaction, and everybody who waits for the store would stop with
it, even an emergency rollback. So another process does nothing but write, at normal priority. It
reads pieces of work from its standard input, and ends when that ends, also when the service is
killed.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from changeover.errors import ChangeoverError, StoreError
from changeover.site.home import Home
from changeover.site.service_main import log_to_stderr
from changeover.store.engine import Store

LENGTH_BYTES = 8
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

    Create it before this process lowers its priority: a child inherits that.
    """

    def __init__(self, home: Home) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "changeover.shadow.writing", str(home.root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def do(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Return what the function returned, raise what it raised; one call at a time.

        Raises:
            StoreError: The process has ended.
        """
        work = pickle.dumps((function, arguments, named))
        with self._lock:
            try:
                _send(_pipe(self._process.stdin), work)
                answer = _receive(_pipe(self._process.stdout))
            except OSError as error:
                raise StoreError(BROKEN) from error
        if answer is None:
            raise StoreError(BROKEN, next_step="It is started again with the service")
        result, problem = pickle.loads(answer)  # noqa: S301  from our own child
        if problem is not None:
            raise problem
        return result

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def close(self) -> None:
        """Wait until the process has finished, and end it."""
        with self._lock:
            _pipe(self._process.stdin).close()
            self._process.wait()
            _pipe(self._process.stdout).close()


def _pipe(pipe: Any) -> BinaryIO:
    found: BinaryIO = pipe
    return found


def _send(pipe: BinaryIO, message: bytes) -> None:
    pipe.write(len(message).to_bytes(LENGTH_BYTES) + message)
    pipe.flush()


def _receive(pipe: BinaryIO) -> bytes | None:
    """Return a message; None at the end, also in the middle of one."""
    head = pipe.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    length = int.from_bytes(head)
    message = pipe.read(length)
    return message if len(message) == length else None


def main() -> int:
    """Do the work that comes in, until nothing more can come."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the service ends it when all is written
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed by mistake goes to the log
    log_to_stderr()
    store: Store | None = None
    while (work := _receive(sys.stdin.buffer)) is not None:
        function, arguments, named = pickle.loads(work)  # noqa: S301  from our own parent
        result: Any = None
        problem: Exception | None = None
        try:
            store = store or Store.open(Home(Path(sys.argv[1])).store_url)
            result = function(store, *arguments, **named)
        except ChangeoverError as error:
            error.__cause__ = error.__context__ = None
            problem = error
        except Exception as error:  # logged here; the service retries without it
            logging.exception("something could not be written")
            problem = RuntimeError(f"{type(error).__name__}: {error}")
        _send(answers, pickle.dumps((result, problem)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
