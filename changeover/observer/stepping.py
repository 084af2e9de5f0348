"""Carrying on a return of users in steps, in a thread of its own."""

from __future__ import annotations

import threading

from changeover.domain.routing import Mode
from changeover.observer.throttle import LogOnce
from changeover.observer.traffic import Traffic
from changeover.procedures import gradual_return
from changeover.site.site import Site

POLL_SECONDS = 0.25
"""How late a step may be; steps are at least a second apart."""


class Stepping:
    """Makes the steps of a return when they are due, also those of before a restart.

    Args:
        site: The migration on this machine.
        traffic: Where users are.
        log: Where problems are logged.
    """

    def __init__(self, site: Site, traffic: Traffic, log: LogOnce) -> None:
        self._site, self._traffic, self._log = site, traffic, log

    def watch(self, stop: threading.Event) -> None:
        """Make what is due until `stop`; a step that fails is tried again."""
        while not stop.wait(POLL_SECONDS):
            if self._traffic.state.mode is Mode.RETURNING:
                self._log.run("return in steps", self._step)

    def _step(self) -> None:
        state = gradual_return.carry_on(self._site)
        if state is not None:
            self._traffic.update(state)
