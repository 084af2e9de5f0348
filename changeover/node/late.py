"""Since when a node sent seconds whose minutes may have been summed up without them."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from changeover.errors import EnvironmentProblem
from changeover.machine.files import write_atomically

SUMMED_UP_FROM = 20
"""Seconds that come later than this may be of a minute that was summed up without them."""
LATE_SECONDS = 10.0
"""How long after them their minutes are summed up anew: who sums at this moment is done then."""


class Late:
    """The second from which on minutes must be summed up anew.

    It is kept in a file from before anything is sent until they are summed up: a node that is
    killed in between, or a store that takes a part only, must not leave minutes that lack seconds.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._sent = path, time.monotonic()
        self.since = _read(path)
        """Unix second; None when there is nothing to sum up."""

    def note(self, oldest: int | None) -> None:
        """Note that seconds from `oldest` on are sent, or were: call it before and after."""
        if oldest is None or oldest >= time.time() - SUMMED_UP_FROM:
            return
        self._sent = time.monotonic()
        if self.since is None or oldest < self.since:
            self.since = oldest
            # a full disk: it is known while the node runs
            with contextlib.suppress(EnvironmentProblem):
                write_atomically(self._path, json.dumps({"since": oldest}))

    @property
    def is_due(self) -> bool:
        """Whether there are some that were sent long enough ago."""
        return self.since is not None and time.monotonic() - self._sent >= LATE_SECONDS

    def done(self) -> None:
        """Forget them: they are summed up."""
        self.since = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def _read(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text())["since"])
    # none, or a file that a full disk cut short
    except (OSError, ValueError, KeyError, TypeError):
        return None
