"""Not too often: actions that are tried again, and problems that are told again."""

from __future__ import annotations

import logging
import re
import time

LOG = logging.getLogger("changeover.observer")
_NUMBERS = re.compile(r"\d[\d.,]*")


class Pace:
    """Says when something may be done again."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def is_due(self, what: str, seconds: float) -> bool:
        """Whether `what` was not due within the last `seconds`; it counts as done now."""
        now = time.monotonic()
        if now - self._last.get(what, float("-inf")) < seconds:
            return False
        self._last[what] = now
        return True


class Told:
    """Logs a problem of a part once, not every second, until the part works again."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}

    def problem(self, part: str, text: str, *, error: BaseException | None = None) -> None:
        """Log `text` unless it is, but for numbers, what was told of `part` last.

        `error` adds its traceback.
        """
        kind = _NUMBERS.sub("#", text)  # how long something took is no news
        if self._problems.get(part) != kind:
            LOG.error(text, exc_info=error)
        self._problems[part] = kind

    def fine(self, part: str, text: str) -> None:
        """Log `text` when a problem of `part` was told before."""
        if self._problems.pop(part, None) is not None:
            LOG.info(text)
