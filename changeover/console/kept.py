"""What costs something to make, kept for as long as it is good."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

Made = TypeVar("Made")
MOST = 200


class Kept:
    """Values by name, made again when they are too old. The clock is passed in."""

    def __init__(self) -> None:
        self._made: OrderedDict[Hashable, tuple[float, object]] = OrderedDict()

    def get(self, key: Hashable, seconds: float, now: float, make: Callable[[], Made]) -> Made:
        """Return the value of a key.

        Args:
            key: What it is.
            seconds: How old it may be.
            now: The present moment in seconds, always by the same clock.
            make: Makes it.
        """
        known = self._made.get(key)
        # a clock that was set back must not keep a value for hours
        if known is None or not 0 <= now - known[0] < seconds:
            known = now, make()
            self._made[key] = known
            # the oldest goes: ranges and pages that nobody looks at any more
            while len(self._made) > MOST:
                self._made.popitem(last=False)
        return known[1]  # type: ignore[return-value]
