"""The sign of life of a process that carries a flow run, for an observer on any machine.

On the machine of the process its number tells whether it lives. Another machine's observer sees
signs only. A process that stood still for long may have been replaced: it finds that out before it
writes anything more, and ends.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from functools import partial

import psutil

from changeover import clock
from changeover.domain.health import FLOW_SIGN_SECONDS, Heartbeat
from changeover.errors import StoreError
from changeover.machine.identity import machine_id
from changeover.store import heartbeats
from changeover.store.engine import Store
from changeover.store.leading import can_lead

LOG = logging.getLogger("changeover.flow")
_known: dict[str, FlowSign] = {}


class FlowSign:
    """One process's signs for one flow run.

    Args:
        store: A store, kept open.
        run_id: The flow run that the worker started this process for.
    """

    def __init__(self, store: Store, run_id: str) -> None:
        process = psutil.Process()
        # with the time of its start: the number alone may belong to another process later
        self._own = Heartbeat(
            f"flow:{run_id}", clock.now(), process.pid, f"{process.create_time():.2f}",
            machine_id())
        self._store, self._said = store, _now()

    def begin(self) -> None:
        """Give the first sign: from now on this process carries the run."""
        own = self._own
        heartbeats.beat(self._store, own.service, pid=own.pid, detail=own.detail,
                        machine=own.machine, now=clock.now())

    def keep(self) -> None:
        """Go on giving signs until the process ends."""
        while True:
            time.sleep(FLOW_SIGN_SECONDS)
            try:
                self._say()
            # the store is away: nobody is replaced then, either
            except StoreError as error:
                LOG.warning("no sign of life because %s", error)

    def require(self) -> None:
        """End the process when another one carries the run by now; asked before each writing.

        Raises:
            StoreError: The store cannot be used.
        """
        if _now() - self._said > 2 * FLOW_SIGN_SECONDS:
            self._say()

    def _say(self) -> None:
        # not through the caller's store, whose fence this is
        if not heartbeats.beat_again(self._store, self._own, now=clock.now()):
            LOG.error("this process ends because another one carries its flow run by now")
            # with no error: the worker would call the run crashed, which goes on elsewhere
            os._exit(0)
        self._said = _now()


def give(store: Store, run_id: str) -> None:
    """Note this process as the one that carries a flow run, and have it give signs of life.

    Args:
        store: The store that the process works with.
        run_id: The flow run.

    Raises:
        StoreError: The store cannot be used.
    """
    sign = _known.get(run_id)
    if sign is None:
        own = Store(store.engine, timeout=store.timeout)
        sign = FlowSign(own, run_id)
        sign.begin()
        # a worker that carries health checks itself has no process for each
        if not can_lead(store) or "PREFECT__FLOW_RUN_ID" not in os.environ:
            return
        _known[run_id] = sign
        threading.Thread(target=sign.keep, daemon=True).start()
    store.fence = partial(sign.require)


def _now() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
