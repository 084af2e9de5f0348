"""Many requests, one transaction: what arrives while the store works is its next batch.

With one request at a time nothing waits; with hundreds, the commit's cost is shared by all of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from changeover.errors import StoreError

Work = TypeVar("Work")
Result = TypeVar("Result")

MOST_WAITING = 20_000
"""So much may wait for the store; what comes on top is refused at once instead of queueing."""


class Batcher(Generic[Work, Result]):
    """Carries out pieces of work in batches, one batch at a time, each in a thread.

    Args:
        carry_out: Does a batch and returns a result for each piece; when it raises, nothing of
            the batch was done.
        most: Largest batch, in weight; a single heavier piece is a batch of its own.
        weigh: What a piece weighs.
    """

    def __init__(
        self, carry_out: Callable[[Sequence[Work]], Sequence[Result]], *, most: int,
        weigh: Callable[[Work], int] = lambda _: 1,
    ) -> None:
        self._carry_out, self._most, self._weigh = carry_out, most, weigh
        self._waiting: deque[tuple[Work, int, asyncio.Future[Result]]] = deque()
        self._weight = 0
        self._task: asyncio.Task[None] | None = None

    async def put(self, work: Work) -> Result:
        """Return the result of a piece of work once its batch is done.

        Raises:
            StoreError: Too much is waiting; and whatever the batch raised.
        """
        weight = self._weigh(work)
        if self._weight + weight > MOST_WAITING:
            raise StoreError(
                "the store is behind: too many requests wait for it",
                next_step="Send it again in a second")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((work, weight, done))
        self._weight += weight
        # one task at a time: two batches would wait for each other in the store
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await done

    async def _run(self) -> None:
        while self._waiting:
            batch = self._take()
            try:
                pieces = [work for work, _ in batch]
                results = await asyncio.to_thread(self._carry_out, pieces)
            except Exception as error:  # noqa: BLE001  handed to everyone who waits for it
                # all of them: nothing of the batch was done, and each client sends again
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
                continue
            for (_, done), result in zip(batch, results, strict=True):
                # its client may have gone
                if not done.done():
                    done.set_result(result)

    def _take(self) -> list[tuple[Work, asyncio.Future[Result]]]:
        batch: list[tuple[Work, asyncio.Future[Result]]] = []
        total = 0
        # the first piece goes in any case: one that is heavier than a batch would wait for ever
        while self._waiting and (not batch or total + self._waiting[0][1] <= self._most):
            work, weight, done = self._waiting.popleft()
            batch.append((work, done))
            total += weight
        self._weight -= total
        return batch
