"""Who may work when: the slots of AI work, and tasks that can wait."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

HARD_LIMIT = 1
"""AI work at once, unless the flag `ai_concurrency_limit` says otherwise."""


class NoSlot(Exception):
    """AI work is paused, or its slots stayed taken for too long."""


class AiScheduler:
    """Slots for AI work: never more at once than the limit, and none while it is paused."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._hard, self._is_withheld = HARD_LIMIT, False
        self.active, self.peak = 0, 0
        self.paused = threading.Event()

    @property
    def limit(self) -> int:
        """How much AI work may be done at once now."""
        return 0 if self._is_withheld else self._hard

    def allow(self, hard: int) -> None:
        """Set the hard limit."""
        with self._changed:
            self._hard = max(1, hard)
            self._changed.notify_all()

    def withhold(self) -> None:
        """Set the limit to 0: what waits for a slot goes on waiting."""
        with self._changed:
            self._is_withheld = True

    def pause(self) -> None:
        """Let nobody begin, and have everybody who waits for a slot give up."""
        with self._changed:
            self._is_withheld = True
            self.paused.set()
            self._changed.notify_all()

    def resume(self) -> None:
        """Let work begin again."""
        with self._changed:
            self._is_withheld = False
            self.paused.clear()
            self._changed.notify_all()

    @contextmanager
    def slot(self, within: float) -> Iterator[None]:
        """Hold a slot in the block.

        Args:
            within: Longest wait for one, in seconds.

        Raises:
            NoSlot: There was none in time, or AI work is paused.
        """
        deadline = time.monotonic() + within
        with self._changed:
            while self.active >= self.limit:
                left = deadline - time.monotonic()
                if self.paused.is_set() or left <= 0:
                    raise NoSlot("AI work is paused" if self.paused.is_set() else "no slot in time")
                self._changed.wait(left)
            self.active += 1
            self.peak = max(self.peak, self.active)
        try:
            yield
        finally:
            with self._changed:
                self.active -= 1
                self._changed.notify_all()


class LaterTasks:
    """Tasks that nobody waits for (summaries): one after the other, and not while delayed."""

    def __init__(self, most: int = 1_000) -> None:
        self._tasks: queue.Queue[Callable[[], None]] = queue.Queue(most)
        self._may_run = threading.Event()
        self._may_run.set()
        self.done = 0
        threading.Thread(target=self._run, name="later", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Tasks that wait."""
        return self._tasks.qsize()

    @property
    def is_delayed(self) -> bool:
        """Whether they are kept back."""
        return not self._may_run.is_set()

    def add(self, task: Callable[[], None]) -> None:
        """Have a task done some time; dropped when too many wait, for nobody needs it."""
        with suppress(queue.Full):
            self._tasks.put_nowait(task)

    def delay(self) -> None:
        """Begin none until `release`."""
        self._may_run.clear()

    def release(self) -> None:
        """Go on."""
        self._may_run.set()

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            self._may_run.wait()
            with suppress(Exception):  # the task's own business: nobody waits for it
                task()
            self.done += 1
