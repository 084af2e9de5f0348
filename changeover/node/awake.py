"""For how long a node is without the store, counted while it is awake. Pure.

A process that stood still (a machine that was frozen, SIGSTOP) wakes up after a long silence in
which it did not ask. It must ask again for as long as any other before it believes the silence.
"""

from __future__ import annotations

TURNS = 30
"""So many turns in a row without a word of the store, mostly 3 s, make a silence certain."""
PAUSE_SECONDS = 1.0
"""Between two turns: longer, and the process stood still."""
LONGEST_TURN = 0.5
"""A turn counts for so many seconds at most."""


class Awake:
    """Counts turns of a loop since the store was heard of, or since the process woke up."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """How long the store was silent, as far as this process was there to hear it."""
        self._turns = 0
        self._before: float | None = None
        self._silence = 0.0

    def turn(self, silence: float | None, now: float) -> None:
        """Note one more turn.

        Args:
            silence: Seconds since the store was heard of; None when it never was.
            now: Seconds of a clock that is never set back.
        """
        passed = 0.0 if self._before is None else now - self._before
        is_heard = silence is None or silence < self._silence
        self._before, self._silence = now, silence or 0.0
        if is_heard or passed > PAUSE_SECONDS:
            self._turns, self.seconds = 0, 0.0
            return
        self._turns += 1
        self.seconds += min(passed, LONGEST_TURN)

    @property
    def is_sure(self) -> bool:
        """Whether it asked often enough to know that the store does not answer."""
        return self._turns >= TURNS
