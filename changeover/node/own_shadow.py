"""The shadow service beside a node's Envoy, where the node was asked for one.

It has the tap of this node's Envoy, and its comparisons count with those of all other gateways. It
takes the address of the store from `$CHANGEOVER_SHADOW_STORE_URL`, where its rights are others than
the node's, and runs on while the node's agent is away.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time

import psutil

from changeover.domain.gateway_nodes import COMPARES_NOTHING
from changeover.plan.model import Plan
from changeover.site.home import STORE_VARIABLE, Home
from changeover.supervisor.child import STEADY_SECONDS, Child

LOG = logging.getLogger("changeover.node")
SHADOW_STORE_VARIABLE = "CHANGEOVER_SHADOW_STORE_URL"


def child(home: Home, migration: str, name: str, url: str) -> Child:
    """Return the process of a node's shadow service, not started.

    Args:
        home: The node's own.
        migration: Name of the migration.
        name: The node's name.
        url: The node's address of the store.
    """
    command = [sys.executable, "-m", "changeover.shadow", "--home", str(home.root),
               "--migration", migration, "--gateway", name]
    own = os.environ.get(SHADOW_STORE_VARIABLE) or url
    return Child("shadow", command, home.logs / "shadow.log", {STORE_VARIABLE: own})


class OwnShadow:
    """Keeps a node's shadow service, and knows when it compares nothing.

    Args:
        child: Its process, not started.
    """

    def __init__(self, child: Child) -> None:
        self.child = child
        self._problem = ""
        self._pid, self._since = 0, 0.0

    def adopt_lost(self) -> None:
        """Take over a service of this home that nobody noted; end any further one.

        An agent that is killed at the wrong moment leaves one. Two would take the tap's socket
        from each other.
        """
        for found in psutil.process_iter():
            # processes end, and others' may not be read, while the list is gone through
            with contextlib.suppress(psutil.Error):
                if not self._is_ours(found):
                    continue
                if not self.child.is_alive:
                    self.child.adopt(found.pid, found.create_time())
                elif self.child.process is not None and found.pid != self.child.process.pid:
                    LOG.warning("a second shadow service runs here (process %d): it is ended",
                                found.pid)
                    other = Child("shadow", self.child.command, self.child.log)
                    other.adopt(found.pid, found.create_time())
                    other.end()

    def _is_ours(self, found: psutil.Process) -> bool:
        if found.cmdline() != self.child.command:
            return False
        # who writes for it is a fork of it, with the same command
        parent = found.parent()
        return parent is None or parent.cmdline() != self.child.command

    def keep(self, plan: Plan) -> bool:
        """Start the service where the plan has a part for it, else end it.

        Args:
            plan: The plan as the node serves it.

        Returns:
            Whether it was started or ended: then this must be noted for the next agent.

        Raises:
            EnvironmentProblem: It cannot be started.
        """
        was_alive = self.child.is_alive
        if plan.shadow is None:
            self.child.end()
            self.child.is_wanted = False
            return was_alive
        if not was_alive:
            self.child.start()
        return not was_alive

    def look(self) -> str:
        """Return why nothing is compared here; empty while there is nothing to say.

        One that ends soon after its start cannot do its work, and says why at the end of its log.
        To be called a few times a second, before it is started again.
        """
        before, self._problem = self._problem, self._look()
        if self._problem and self._problem != before:
            LOG.error("%s", self._problem)
        return self._problem

    def _look(self) -> str:
        process = self.child.process
        if not self.child.is_wanted or process is None:
            return ""
        now = time.monotonic()
        if process.pid != self._pid:
            self._pid, self._since = process.pid, now
        is_steady = now - self._since > STEADY_SECONDS
        if self.child.is_alive:
            return "" if is_steady else self._problem
        if is_steady:
            return self._problem
        return f"{COMPARES_NOTHING}: its shadow service ends: {_last_word(self.child.tail(8))}"


def _last_word(log: str) -> str:
    """Return what a service said last: an error's first line, which the others explain."""
    said = [line for line in log.splitlines() if line and not line[0].isspace()]
    return said[-1][:300] if said else "its log says nothing"
