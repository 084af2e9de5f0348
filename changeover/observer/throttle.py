"""Limits how often an action is retried, and how often the same problem is logged."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

from changeover.errors import ChangeoverError

LOG = logging.getLogger("changeover.observer")
_NUMBERS = re.compile(r"\d[\d.,]*")


class Throttle:
    """Limits how often something is done."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def is_due(self, what: str, seconds: float) -> bool:
        """Whether `what` was not due within the last `seconds`; it counts as done now."""
        # not the time of the day, which may be set back
        now = time.monotonic()
        if now - self._last.get(what, float("-inf")) < seconds:
            return False
        self._last[what] = now
        return True


class LogOnce:
    """Logs a problem of a part once, not every second, until the part works again."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}

    def run(self, part: str, action: Callable[[], object]) -> None:
        """Run a part; log its failure, and that it works again. The caller goes on either way."""
        try:
            action()
            self.fine(part, f"{part}: works again")
        except (ChangeoverError, OSError) as error:
            # not `BaseException`: an end of the process goes through
            self.problem(part, f"{part}: not done because {error}")
        except Exception as error:  # noqa: BLE001  an unforeseen fault must not end the caller
            self.problem(part, f"{part}: {type(error).__name__}: {error}", error=error)

    def problem(self, part: str, text: str, *, error: BaseException | None = None) -> None:
        """Log `text` unless it is what was logged of `part` last, numbers aside.

        `error` adds its traceback.
        """
        kind = _NUMBERS.sub("#", text)  # how long something took is no news
        if self._problems.get(part) != kind:
            LOG.error(text, exc_info=error)
        self._problems[part] = kind

    def fine(self, part: str, text: str) -> None:
        """Log `text` when a problem of `part` was logged before."""
        if self._problems.pop(part, None) is not None:
            LOG.info(text)
