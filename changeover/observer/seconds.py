"""Which seconds are complete and to be judged, whatever the clock does. No I/O.

The gateway's log and the probes have the machine's clock, so seconds are those of that clock. They
are Unix seconds: summer time and time zones do not touch them. When the clock steps forwards, the
seconds between have no data: a gap. When it steps back, seconds come again and are judged again.
"""

from __future__ import annotations

from dataclasses import dataclass

SET_BACK = 2
"""The clock was set back when it shows so many seconds less than before: slewing never does."""


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be judged.

    Args:
        seconds: The seconds, oldest first.
        set_back_to: The second at which the clock goes on, when it was set back.
    """

    seconds: range
    set_back_to: int | None = None


class Seconds:
    """Hands out every second once.

    Args:
        judged: The second up to which all were judged already (excluded); 0 when none was.
    """

    def __init__(self, judged: int = 0) -> None:
        self.judged = judged
        self._shown = 0

    def due(self, complete: int, *, read_to: int, most: int) -> Due:
        """Return the seconds that are complete and were not handed out yet.

        Args:
            complete: The second up to which all are complete by the clock (excluded).
            read_to: The second up to which the log was read.
            most: So many seconds at most, the newest: after a long pause rollbacks must not wait.
        """
        set_back_to = complete if complete < self._shown - SET_BACK else None
        self._shown = complete
        if set_back_to is not None:
            self.judged = min(self.judged, set_back_to)
        # after a step back the log has lines of both times: only the clock says what is complete
        end = complete if set_back_to is not None else min(complete, read_to)
        # the seconds are handed out already, or the log was not read so far
        if end <= self.judged:
            return Due(range(0), set_back_to)
        first = max(self.judged or end - 1, end - most)
        self.judged = end
        return Due(range(first, end), set_back_to)
