"""Asking the systems for their health, and measuring their processes, once a second each.

Every probe has a thread of its own, so that a system that hangs delays nothing else, and is still
asked every second.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from changeover.gateway import reaching
from changeover.plan.systems import SystemSpec

Report = Callable[[int, bool], None]
FAMILY_SECONDS = 5.0
"""How long a process may have a child before its memory and CPU are counted, too."""


def probe_every_second(spec: SystemSpec, report: Report, stop: threading.Event) -> None:
    """Ask a system's health at the start of every second until `stop`.

    Reports (second, is_up) in the second when the answer arrived or its time was over. A system
    that hangs is reported as down once for each second, `health_timeout` later.
    """
    timeout = spec.health_timeout.total_seconds()
    address = reaching.health_address(spec)
    # One probe a second times out before these are used up, unless answers trickle.
    most = 2 * int(timeout) + 3
    asking = threading.Semaphore(most)

    def ask(client: httpx.Client) -> None:
        try:
            is_up = client.get(address).is_success
        except (httpx.HTTPError, RuntimeError):  # RuntimeError: closed, because of `stop`
            is_up = False
        finally:
            asking.release()
        if not stop.is_set():
            report(int(time.time()), is_up)

    limits = httpx.Limits(max_connections=most, max_keepalive_connections=1)
    with reaching.new_client(spec, timeout=timeout, limits=limits) as client:
        # at full seconds: each second has one probe, however long the answers take
        while not stop.wait(1.0 - time.time() % 1.0):
            if asking.acquire(blocking=False):
                threading.Thread(target=ask, args=(client,), daemon=True).start()
            else:  # it trickles instead of answering
                report(int(time.time()), False)


class ProcessMeter:
    """Memory and CPU of a system's process with its children.

    Args:
        spec: The system's description.
        pid_of: Returns the process id of a system that the supervisor started.
    """

    def __init__(self, spec: SystemSpec, pid_of: Callable[[], int | None]) -> None:
        self._spec = spec
        self._pid_of = pid_of
        self._known: dict[int, psutil.Process] = {}
        self._family_until = 0.0

    def read(self) -> tuple[int, float] | None:
        """Return (resident bytes, cores used since the last call), or None without process."""
        pid = self._pid()
        if pid is None:
            return None
        try:
            # a new process, or its children may have changed
            if pid not in self._known or time.monotonic() > self._family_until:
                self._find_family(pid)
        except psutil.Error:
            self._known = {}
            return None
        memory, cores = 0, 0.0
        for process in self._known.values():
            try:
                memory += process.memory_info().rss
                cores += process.cpu_percent(None) / 100
            except psutil.Error:
                continue
        return memory, cores

    def _find_family(self, pid: int) -> None:
        """Find what the process has started; this reads every process of the machine."""
        root = self._known.get(pid) or psutil.Process(pid)
        family = {process.pid: process for process in (root, *root.children(recursive=True))}
        # the known object of a process is kept: it knows its CPU time at the last call
        self._known = {number: self._known.get(number, found) for number, found in family.items()}
        self._family_until = time.monotonic() + FAMILY_SECONDS

    def _pid(self) -> int | None:
        process = self._spec.process
        if process is None:
            return None
        if process.pid_file is None:
            return self._pid_of()
        try:
            return int(Path(process.pid_file).read_text().strip())
        except (OSError, ValueError):
            return None
