"""How long write transactions waited and took, logged once by kind.

A transaction that is slow is logged with the process and what it did, the first time and whenever
it took twice as long as what was logged last. With `CHANGEOVER_STORE_TURNS=FILE` every process
appends each of its transactions to a file, one JSON object a line, for `python -m
benchmarks.locks`.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from changeover import clock

LOG = logging.getLogger("changeover.store")

TURNS_VARIABLE = "CHANGEOVER_STORE_TURNS"
SLOW_SECONDS = 0.05
"""A write transaction that takes longer is logged."""

# the longest time that was logged, by operation; a slow disk must not fill the log
_logged: dict[str, float] = {}
_lock = threading.Lock()


@dataclass
class Turn:
    """One write transaction: when its process asked for it, and when it began."""

    operation: str
    asked: float = field(default_factory=time.monotonic)
    began: float | None = None
    error: str = ""

    def has_begun(self) -> None:
        """Note that the write lock was had."""
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has waited, or waited until it began."""
        return (time.monotonic() if self.began is None else self.began) - self.asked

    @property
    def took(self) -> float:
        """How long it has had the write lock, in seconds; 0 when it never had."""
        return 0.0 if self.began is None else time.monotonic() - self.began


@contextlib.contextmanager
def noted(operation: str) -> Iterator[Turn]:
    """Note a transaction: its wait and its length, and whether it was refused."""
    turn = Turn(operation)
    try:
        yield turn
    # also what ends a thread or the process: whoever waited did so all the same
    except BaseException as error:
        turn.error = type(error).__name__
        raise
    finally:
        waited, took = turn.seconds, turn.took
        if took > SLOW_SECONDS:
            _log(operation, took)
        if path := os.environ.get(TURNS_VARIABLE):
            _append(path, turn, waited=waited, took=took)


def operation_of_caller() -> str:
    """Return what opened a transaction, as `samples.write`: the first caller outside the store's
    engine."""
    frame = sys._getframe(1)
    # `begin` is a context manager: its frames and contextlib's stand before the caller's
    while frame.f_back is not None and (
            frame.f_code.co_filename.endswith(("contextlib.py", "store/engine.py"))):
        frame = frame.f_back
    module = str(frame.f_globals.get("__name__", "")).rpartition(".")[2]
    return f"{module}.{frame.f_code.co_name}"


def role() -> str:
    """Return what this process is, as `changeover.observer` or `changeover rollback`."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    if spec is not None:
        name = str(spec.name).removesuffix(".__main__")
        return " ".join(["changeover", *sys.argv[1:2]]) if name == "changeover.cli" else name
    return " ".join([Path(sys.argv[0] or "python").name, *sys.argv[1:2]])


def _log(operation: str, took: float) -> None:
    """Log a slow kind of transaction, and again when it took twice as long."""
    with _lock:
        if took < 2 * _logged.get(operation, 0.0):
            return
        _logged[operation] = took
    LOG.info("%s (process %d) wrote to the store for %.0f ms in %s; others waited",
             role(), os.getpid(), took * 1000, operation)


def _append(path: str, turn: Turn, *, waited: float, took: float) -> None:
    line = json.dumps({
        "at": clock.now().timestamp(), "role": role(), "pid": os.getpid(),
        "operation": turn.operation, "waited_ms": waited * 1000, "held_ms": took * 1000,
        "error": turn.error})
    # a figure for a benchmark must never be why a transaction fails
    with contextlib.suppress(OSError), Path(path).open("a") as file:
        file.write(f"{line}\n")
