"""One node of the engine: a queue, a thread that works it off, and the figures of both."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

Work = Callable[["Task"], Any]
REMEMBERED = 100
"""Executions that the figures are made of: the newest."""


@dataclass
class Task:
    """One piece of work for a node.

    Args:
        name: The document's id.
        content: The document, or a part of it.
        twice: Whether pictures are to be read at double size, too.
    """

    name: str
    content: bytes
    twice: bool = False
    result: Future[Any] = field(default_factory=Future)
    began: float = field(default_factory=time.monotonic)


class Node:
    """A node: it does one kind of work, one task after the other.

    Args:
        name: Its name, as in `/nodes/NAME`.
        work: What it does with a task; what it raises is the task's result.
    """

    def __init__(self, name: str, work: Work) -> None:
        self.name, self._work = name, work
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._latest: deque[tuple[float, bool]] = deque(maxlen=REMEMBERED)
        self._thread: threading.Thread | None = None
        self._held_bytes, self._dies = 0, False
        self.executed, self.restarts, self.last_execution = 0, 0, time.time()

    @property
    def is_alive(self) -> bool:
        """Whether its thread works."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Tasks in its queue."""
        return self._tasks.qsize()

    def start(self) -> None:
        """Start its thread; nothing to do while it works."""
        if not self.is_alive:
            self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
            self._thread.start()

    def restart(self) -> bool:
        """Start its thread again when it is dead; return whether it was."""
        if self.is_alive:
            return False
        self.restarts += 1
        self._dies = False
        self.start()
        return True

    def die(self) -> None:
        """Have the next task end its thread: a fault."""
        self._dies = True

    def end(self) -> None:
        """Have its thread end after the tasks before this; a dead one forgets what it has."""
        if self.is_alive:
            self._tasks.put(None)
        else:
            self.take_all()

    def submit(self, task: Task) -> None:
        """Put a task into its queue."""
        with self._lock:
            self._held_bytes += len(task.content)
        self._tasks.put(task)

    def take_all(self) -> list[Task]:
        """Return the tasks that wait, and forget them: another node shall do them."""
        found = []
        with suppress(queue.Empty):
            while True:
                task = self._tasks.get_nowait()
                if task is not None:
                    self._forget(task)
                    found.append(task)
        return found

    def figures(self) -> dict[str, Any]:
        """Return its figures: latency (with the wait), success, memory of its tasks, queue, age."""
        with self._lock:
            latest, held = list(self._latest), self._held_bytes
        well = sum(is_well for _, is_well in latest)
        mean = sum(seconds for seconds, _ in latest) / len(latest) if latest else 0.0
        return {
            "node": self.name, "is_alive": self.is_alive, "executed": self.executed,
            "avg_latency_ms": round(mean * 1000, 3),
            "success_rate": well / len(latest) if latest else 1.0,
            "memory_usage_mb": round(held / 1e6, 6),
            "queue_length": self.waiting,
            "last_execution": self.last_execution, "restarts": self.restarts,
        }

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            # given up meanwhile, or done by another node
            if task.result.done():
                self._forget(task)
                continue
            if self._dies:
                # the task stays undone, as after a crash in native code
                self._tasks.put(task)
                return
            self._execute(task)

    def _execute(self, task: Task) -> None:
        is_well = True
        try:
            found = self._work(task)
            with suppress(InvalidStateError):
                task.result.set_result(found)
        except Exception as error:  # noqa: BLE001  whoever waits for the task gets it
            is_well = False
            with suppress(InvalidStateError):
                task.result.set_exception(error)
        self._forget(task)
        with self._lock:
            self._latest.append((time.monotonic() - task.began, is_well))
            self.executed, self.last_execution = self.executed + 1, time.time()

    def _forget(self, task: Task) -> None:
        with self._lock:
            self._held_bytes -= len(task.content)
