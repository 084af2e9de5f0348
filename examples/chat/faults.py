"""The risks of the rollout as switches: what a system does wrong while one of them is on."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal

FAULTS = {
    "errors": "every third answer breaks off in the middle",
    "few_errors": "one answer in 250 breaks off in the middle",
    "server_errors": "every tenth answer is a 503",
    "turned_away": "every fifth message is answered 429",
    "slow": "one answer in 25 takes 0.7 seconds longer",
    "sluggish": "every answer takes 0.09 seconds longer",
    "very_sluggish": "every answer takes 0.15 seconds longer",
    "memory": "it leaks 4 MB every 0.2 seconds, up to 160 MB",
    "swollen": "it takes 47 MB of memory and stays there",
    "bloated": "it takes 60 MB of memory and stays there",
    "cpu": "every message costs 20 ms of CPU more",
    "crash": "its process is killed",
    "hang": "it answers nothing any more, health neither",
    "lost": "every fifth message is answered and not saved",
    "doubled": "every fifth message is saved, and told, twice",
    "callbacks": "every callback is made twice",
    "wrong": "every fifth answer is another question's",
}
"""What each switch does."""
BROKEN, UNAVAILABLE, TURNED_AWAY = "broken", "unavailable", "turned_away"
_EVERY = {"errors": 3, "few_errors": 250, "server_errors": 10, "turned_away": 5, "slow": 25,
          "lost": 5, "doubled": 5, "wrong": 5}
_LATE = {"slow": 0.7, "sluggish": 0.09, "very_sluggish": 0.15}
_ENDS = {"errors": BROKEN, "few_errors": BROKEN, "server_errors": UNAVAILABLE,
         "turned_away": TURNED_AWAY}
HELD_BYTES = {"swollen": 47_000_000, "bloated": 60_000_000}
LEAK_STEP_BYTES, LEAK_MOST_BYTES = 4 << 20, 160 << 20
CPU_SECONDS = 0.02


class Faults:
    """The fault that is on, if any, and which messages it meets."""

    def __init__(self) -> None:
        self.kind = "none"
        self._count = 0
        self._hoard: list[bytearray] = []

    def begin(self, kind: str) -> None:
        """Begin a fault, or end it with `none`."""
        self.kind, self._count = kind, 0
        # SIGKILL, as by the kernel: nothing is closed and nobody is answered
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "memory":
            self._leak()
        elif kind in HELD_BYTES:
            self._swell(HELD_BYTES[kind])
        else:
            self._hoard.clear()

    async def meet(self) -> str:
        """Let a message meet the fault: be late, hang, cost CPU; return how it must end, if so."""
        self._count += 1
        if self.kind == "hang":
            await asyncio.Event().wait()
        if self.kind == "cpu":
            _burn()
        if not self.is_on(self.kind):
            return ""
        if self.kind in _LATE:
            await asyncio.sleep(_LATE[self.kind])
        return _ENDS.get(self.kind, "")

    def is_on(self, kind: str) -> bool:
        """Whether a kind of fault meets the present message."""
        return self.kind == kind and self._count % _EVERY.get(kind, 1) == 0

    def _leak(self) -> None:
        if self.kind == "memory" and len(self._hoard) * LEAK_STEP_BYTES < LEAK_MOST_BYTES:
            self._hoard.append(_filled(LEAK_STEP_BYTES))
            asyncio.get_running_loop().call_later(0.2, self._leak)

    def _swell(self, to: int) -> None:
        missing = to - resident_bytes()
        if missing > 0:
            self._hoard.append(_filled(missing))


def _filled(size: int) -> bytearray:
    # not zeros: pages of zeros may cost no memory
    return bytearray(os.urandom(1024) * (size // 1024))


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    import psutil  # only with the fault: it takes memory itself

    return int(psutil.Process().memory_info().rss)


def _burn() -> None:
    import time

    until = time.process_time() + CPU_SECONDS
    while time.process_time() < until:
        hashlib.sha256(b"x" * 4096).digest()
