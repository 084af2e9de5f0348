"""Whether the process that carries a flow run lives, on this machine or on another one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

import psutil

from changeover.domain.health import FLOW_SIGN_SECONDS, Heartbeat
from changeover.machine.identity import machine_id

SILENT_SECONDS = 5 * FLOW_SIGN_SECONDS
"""A process on another machine that gave no sign for longer is taken to be gone."""
LONGEST_GAP_SECONDS = 8.0
"""After a longer time in which nobody looked (the store was away) silence begins anew."""


class FlowSigns:
    """Remembers since when each sign of another machine is the newest one.

    Machines' clocks are not compared: a sign counts as old once this process saw it for long.

    Args:
        seconds: Returns seconds of a clock that only goes on.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._now = seconds
        self._seen: dict[str, tuple[datetime, float]] = {}
        self._looked = float("-inf")

    def turn(self) -> None:
        """Begin to look; to be called each time before signs are judged."""
        now = self._now()
        if now - self._looked > LONGEST_GAP_SECONDS:
            self._seen.clear()
        self._looked = now

    def why_lost(self, sign: Heartbeat) -> str:
        """Return why the process that gave a sign is taken to be gone; empty when it is not."""
        if sign.machine in ("", machine_id()):
            return "" if _is_alive(sign.pid, sign.detail) else "its process vanished"
        at, since = self._seen.get(sign.service, (None, 0.0))
        if at != sign.at:
            self._seen[sign.service] = sign.at, self._now()
            return ""
        if self._now() - since <= SILENT_SECONDS:
            return ""
        return f"its process on another machine gave no sign for {SILENT_SECONDS:.0f} s"


def _is_alive(pid: int, create_time: str) -> bool:
    """Whether the very process that gave the sign of life still runs."""
    try:
        process = psutil.Process(pid)
        is_same = f"{process.create_time():.2f}" == create_time
        return is_same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
