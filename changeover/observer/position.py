"""How far the access log is read and stored, so that a restart loses and repeats nothing."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable
from pathlib import Path

from changeover.errors import EnvironmentProblem
from changeover.gateway.tailer import Place
from changeover.machine.files import write_atomically

LAG_SECONDS = 5
"""A position is saved this long after it was reached, when late lines are stored as well."""
SAME_PLACE_SECONDS = 30
"""While nothing is written to the log, so often: every saving waits for the disk."""


class Position:
    """The place in the access log from which a restart goes on.

    1. At second P the log was read to place X: requests that end after P lie behind X.
    2. Some seconds later all of P's seconds are stored, late lines included, and X is saved.
    3. A restart reads from X and counts only seconds after P: none lost, none twice.

    Args:
        path: The file with the position.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reached: deque[tuple[int, Place]] = deque()
        self._saved: tuple[int, Place] = (0, (-1, -1))

    @property
    def place(self) -> Place:
        """The place that is saved; of no file before it was read or written."""
        return self._saved[1]

    def read(self) -> tuple[Place | None, int]:
        """Return ((inode, offset), first second to count), or (None, 0) at the first start."""
        try:
            found = json.loads(self._path.read_text())
            first, place = int(found["first"]), (int(found["inode"]), int(found["offset"]))
            self._saved = first - 1, place
            return place, first
        # the first start, or a file that a full disk cut short
        except (OSError, ValueError, KeyError, TypeError):
            return None, 0

    def reach(
        self, second: int, place: Place, is_stored: Callable[[int], bool]
    ) -> None:
        """Note that the log was read to `place` in `second`; save what is old and stored.

        Args:
            second: The present second.
            place: (inode, offset).
            is_stored: Whether all samples of a second and before are in the store.
        """
        # once a second is enough, and the loop comes ten times
        if self._reached and self._reached[-1][0] == second:
            return
        self._reached.append((second, place))
        passed = None
        while self._reached and self._reached[0][0] <= second - LAG_SECONDS:
            if not is_stored(self._reached[0][0]):
                break
            passed = self._reached.popleft()
        if passed is not None and self._is_news(*passed):
            self._write(*passed)

    def _is_news(self, second: int, place: Place) -> bool:
        # what the file says of an earlier second at the same place stays true
        saved_second, saved_place = self._saved
        return place != saved_place or not 0 <= second - saved_second < SAME_PLACE_SECONDS

    def set_back(self) -> None:
        """Forget what was reached: the clock was set back, and its seconds come again."""
        self._reached.clear()

    def _write(self, second: int, place: Place) -> None:
        content = {"first": second + 1, "inode": place[0], "offset": place[1]}
        # an older position only means that more is read again
        with contextlib.suppress(EnvironmentProblem):
            write_atomically(self._path, json.dumps(content))
            self._saved = second, place
