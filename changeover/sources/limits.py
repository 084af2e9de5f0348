"""Giving up what takes too long, whatever the library beneath does."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Generic, TypeVar

from changeover.sources.answer import NoAnswer

Found = TypeVar("Found")
MOST_UNANSWERED = 4
"""Questions to one source that were given up and still run; no further one is asked then."""
_unanswered: dict[str, list[threading.Thread]] = defaultdict(list)


def within(
    seconds: float, key: str, ask: Callable[[], Found],
    give_up: Callable[[], None] | None = None,
) -> Found:
    """Return what `ask` returns, unless it takes too long: then it is given up.

    Not every driver has a time limit, and an answer may come byte by byte, so it runs on a
    thread that nobody waits for for ever.

    Args:
        seconds: How long it may take.
        key: What is asked; of each only a few may be unanswered.
        ask: Called on another thread.
        give_up: Called when it took too long, to end it.

    Raises:
        NoAnswer: It took too long, or too many before it are not answered.
    """
    left = [each for each in _unanswered[key] if each.is_alive()]
    _unanswered[key] = left
    if len(left) >= MOST_UNANSWERED:
        raise NoAnswer(f"{len(left)} questions to it are not answered yet")
    attempt = _Attempt(ask)
    thread = threading.Thread(target=attempt.run, daemon=True)
    thread.start()
    thread.join(seconds)
    if attempt.failed:
        raise attempt.failed[0]
    if attempt.found:
        return attempt.found[0]
    _unanswered[key].append(thread)
    if give_up is not None:
        give_up()
    raise NoAnswer(f"no answer within {seconds:g} s", is_passing=True)


class _Attempt(Generic[Found]):
    """What another thread found, or why it failed; both empty while it runs."""

    def __init__(self, ask: Callable[[], Found]) -> None:
        self._ask = ask
        self.found: list[Found] = []
        self.failed: list[BaseException] = []

    def run(self) -> None:
        try:
            self.found.append(self._ask())
        except BaseException as error:  # noqa: BLE001  raised where somebody waits for it
            self.failed.append(error)
