"""The main machine's gateway follows the store, as nodes do, and says there what it serves.

Others than this machine may move users: a flow on another machine, a spare observer. They cannot
reach this gateway's files. Only on a database that others reach; whoever publishes on this machine
still does it at once, and finds it done when this was faster.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from changeover.domain.gateway_nodes import OUTDATED
from changeover.domain.routing import RoutingState
from changeover.errors import PublishFailed, StoreError, Unreachable
from changeover.gateway import reaching
from changeover.gateway.files import describe_journal
from changeover.observer.listening import Listening
from changeover.observer.throttle import LogOnce, Throttle
from changeover.procedures.main_files import MainFiles
from changeover.site.site import PAGES, Site
from changeover.store import main_gateways, routing
from changeover.store.leading import can_lead
from changeover.store.main_gateways import MainSign

POLL_SECONDS = 0.1
"""How often the store is asked: one row by its key."""
SIGN_SECONDS = 0.9
"""How often a sign of life is given while nothing changes; silent is who gave none for 3 s."""
RETRY_SECONDS = 1.0
LISTENER_SECONDS = 5.0
FILES_SECONDS = 3.0


def parts(
    site: Site, log: LogOnce, stop: threading.Event
) -> list[tuple[str, Callable[[], None]]]:
    """Return the observer's parts that follow the store, where anybody can be elsewhere."""
    if not site.gateway.is_here or not can_lead(site.store):
        return []
    return [("main gateway", lambda: MainGateway(site, log).follow(stop)),
            # a part of its own: a disk or a target that hangs must not keep users where they are
            ("files of a flow elsewhere", lambda: _follow_files(site, log, stop))]


def _follow_files(site: Site, log: LogOnce, stop: threading.Event) -> None:
    files = MainFiles(site)
    while not stop.is_set():
        log.run("files of a flow elsewhere", files.follow)
        stop.wait(FILES_SECONDS)


class MainGateway:
    """Brings the main gateway to the store's state, and signs for it.

    Args:
        site: The migration on the main machine.
        log: Where problems are logged.
    """

    def __init__(self, site: Site, log: LogOnce) -> None:
        self._site, self._log, self._throttle = site, log, Throttle()
        self._wake, self._said = threading.Event(), float("-inf")
        self._signed: tuple[tuple[int, int] | None, str] = None, ""
        self._served: tuple[int, int] | None = None
        self._problem = self._old = ""

    def follow(self, stop: threading.Event) -> None:
        """Follow until `stop`."""
        listening = Listening(self._site.store, self._site.migration, self._wake.set, self._log)
        threading.Thread(target=listening.run, args=(stop,), daemon=True).start()
        while not stop.is_set():
            self._log.run("the main gateway", self._step)
            self._wake.wait(POLL_SECONDS)
            self._wake.clear()

    def _step(self) -> None:
        site = self._site
        try:
            state, journal = routing.read(site.store, site.migration), site.gateway.journal()
            # whoever broke glass is told of in the store first: see `Traffic`
            if journal is None:
                self._bring(state)
            is_due = time.monotonic() - self._said >= SIGN_SECONDS
            lag = self._ask_envoy() if is_due or self._served != state.order else ""
            glass = describe_journal(journal) if journal is not None else ""
            # under a journal Envoy serves what the store does not know
            said = None if glass else self._served, "; ".join(
                filter(None, (glass, self._problem, lag, self._outdated())))
            if is_due or said != self._signed:
                self._sign(*said)
            self._log.fine("main gateway", "others see the main gateway again")
        except StoreError as error:
            self._log.problem("main gateway", f"others do not see the main gateway: {error}")

    def _bring(self, state: RoutingState) -> None:
        gateway = self._site.gateway
        if (gateway.on_disk() or (-1, -1)) >= state.order:
            self._problem = ""
            return
        # a new state at once, one that failed only after a while
        if not self._throttle.is_due(f"bring {state.order}", RETRY_SECONDS):
            return
        try:
            done = gateway.publish(self._site.plan, state)
            self._served, self._problem = (done.epoch, done.version), ""
        except PublishFailed as failure:
            self._problem = failure.what
            self._log.problem("routes", f"not published: {failure}")

    def _sign(self, served: tuple[int, int] | None, problem: str) -> None:
        site, settings = self._site, self._site.home.settings()
        pages = {key: str(settings[key]) for key in PAGES if settings.get(key)}
        main_gateways.sign(site.store, site.migration, MainSign(
            reaching.gateway_address(site.plan), served, problem, pages))
        self._said, self._signed = time.monotonic(), (served, problem)

    def _ask_envoy(self) -> str:
        """Note what Envoy serves, or return why that is not known."""
        try:
            self._served = self._site.gateway.served()
            return ""
        except Unreachable as error:
            return error.what

    def _outdated(self) -> str:
        if self._throttle.is_due("listener", LISTENER_SECONDS):
            self._old = OUTDATED if self._site.gateway.is_outdated(self._site.plan) else ""
        return self._old
