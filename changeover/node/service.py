"""A node as a whole: its Envoy, the plan in force, its session, and its end.

1. Envoy starts with files of before, if there are any, when the store does not answer at once:
   users need not wait for it.
2. The plan comes from the store; the files are written from it and checked by Envoy.
3. A session follows the routes and measures. When the plan is amended, the next session begins with
   the new one; Envoy runs on.
4. Asked to end, the node says so, goes on serving while load balancers notice, waits for the last
   answers, ends Envoy, sends what was measured, and says that it has gone.
5. Killed, it leaves Envoy running; the next start takes it over and reads the log on.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import psutil

from changeover.domain.gateway_nodes import OUTDATED, NodeState
from changeover.domain.routing import RoutingState
from changeover.errors import (
    ChangeoverError,
    EnvironmentProblem,
    InvalidInput,
    Replaced,
    StoreError,
    Unreachable,
    WrongStoreVersion,
)
from changeover.gateway.process import envoy_command
from changeover.gateway.publish import Gateway
from changeover.machine import break_glass_token
from changeover.node import own_shadow
from changeover.node.break_glass import Opening, open_to
from changeover.node.card import Card
from changeover.node.own_moves import OwnMoves
from changeover.node.own_plan import of_node, warnings
from changeover.node.session import TICK_SECONDS, Session
from changeover.plan.model import Plan
from changeover.procedures import retirement_note
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import gateway_nodes, plans, routing
from changeover.store.engine import Store
from changeover.store.gateway_nodes import Identity, Sign
from changeover.supervisor.child import Child
from changeover.supervisor.keeper import Keeper
from changeover.supervisor.taken import require_address

LOG = logging.getLogger("changeover.node")

STORE_SECONDS = 1.0
"""Longest wait for the store: what takes longer is tried again."""
RETRY_SECONDS = 1.0
FINISH_SECONDS = 60.0
"""Longest wait for the last answers after draining."""
ENVOY_PATIENCE_SECONDS = 1.0
"""Longest wait for a confirmation: signs of life must not wait longer."""
ENVOY_SECONDS = 30.0
SAY_SECONDS = 2.0
"""Longest wait for the store when it is told of the end."""
END_SECONDS = 20.0
"""Longest wait for the store to take the last measurements; the next start reads them again."""


@dataclass(frozen=True)
class Wanted:
    """How a node was asked for.

    Args:
        url: The store's address.
        migration: Name of the migration.
        name: The node's name among the migration's gateways.
        listen: Address for users; None for the plan's.
        drain: Seconds for which it goes on serving after it said that it is not ready.
        opening: How glass is broken here from other machines; None for not at all.
        has_shadow: Whether a shadow service compares what is copied here.
    """

    url: str
    migration: str
    name: str
    listen: str | None
    drain: float
    opening: Opening | None = None
    has_shadow: bool = False


class Node:
    """A gateway on this machine that belongs to a migration elsewhere.

    Args:
        home: Its own home directory, made already.
        wanted: How it was asked for.
        card: What it says of itself.
        stop: Set when it is to end; set again, it does not wait any more.
    """

    def __init__(self, home: Home, wanted: Wanted, card: Card, stop: Stopping) -> None:
        self._home, self._wanted, self._card, self._stop = home, wanted, card, stop
        self._gateway = Gateway(
            home.gateway_files, name=wanted.name, patience=ENVOY_PATIENCE_SECONDS)
        self._moves = card.moves = OwnMoves(self._gateway)
        envoy = Child(
            "envoy", envoy_command(home.gateway_files), home.logs / "envoy.log",
            outlives=True)
        shadow = own_shadow.child(home, wanted.migration, wanted.name, wanted.url)
        self._shadow = own_shadow.OwnShadow(shadow)
        self._keeper = Keeper(home, {"envoy": envoy, "shadow": shadow}, LOG.warning, {
            "node": wanted.name, "migration": wanted.migration})
        self._envoy = envoy
        self._store: Store | None = None
        self._digest, self._was_cut_off = "", False

    def run(self) -> None:
        """Serve until it is asked to end.

        Raises:
            InvalidPlan: Envoy refuses the plan.
            Refused: The name belongs to another node that is at work.
            Replaced: Another node, as one with a copy of this home, has the name since.
            WrongStoreVersion: The store is of another version.
            EnvironmentProblem: A port or a program is missing.
        """
        with self._open():
            try:
                self._begin()
            except ChangeoverError:
                # an Envoy of before serves users, and nobody asked for its end
                self._keeper.stop(spares_adopted=True)
                raise
        self._keeper.stop()
        if self._card.is_replaced:
            raise Replaced(
                f"ended because another machine's node is called {self._wanted.name} now",
                next_step="Give each node a name of its own with --name, and a home that is "
                "no copy of another node's")

    def _open(self) -> contextlib.AbstractContextManager[object]:
        """Have glass broken here from other machines, also before the store answered."""
        opening = self._wanted.opening
        if opening is None:
            LOG.info("other machines cannot break glass here: %s", break_glass_token.NONE)
            return contextlib.nullcontext()
        LOG.info("other machines break glass here at %s", opening.url)
        return contextlib.closing(open_to(opening, self._card, self._gateway, self._moves))

    def _begin(self) -> None:
        before = self._home.settings()
        self._adopt()
        self._keeper.addresses |= {
            name: before[name] for name in ("listen", "command") if name in before}
        self._keeper.save()
        site = self._joined_at_once()
        if site is None and self._gateway.on_disk() is not None:
            self._envoy.command = before.get("command") or self._envoy.command
            self._start_envoy(str(before.get("listen") or ""))
        site = site or self._join()
        if site is None:
            return
        self._envoy.command = envoy_command(
            self._home.gateway_files, grace=site.plan.rollback.grace)
        self._start_envoy(site.plan.routing.listen)
        # one that a killed node left may have been draining
        with contextlib.suppress(Unreachable):
            self._gateway.admin.serve_again()
        self._serve(site)

    def _adopt(self) -> None:
        """Take over what a node before left running."""
        for child in (self._envoy, self._shadow.child):
            entry = self._home.process(child.name)
            if entry is not None and child.adopt(entry["pid"], entry["created"]):
                LOG.info("%s runs still and is taken over", child.name)
        self._shadow.adopt_lost()

    def _start_envoy(self, address: str) -> None:
        """Start Envoy unless it runs, and wait until it answers."""
        if not self._envoy.is_alive:
            if address:
                require_address(address, remedy="give another with --listen")
            self._envoy.start()
        self._keeper.addresses |= {"listen": address, "command": self._envoy.command}
        self._keeper.save()
        deadline = time.monotonic() + ENVOY_SECONDS
        while not self._gateway.admin.is_alive():
            if not self._envoy.is_alive or time.monotonic() > deadline:
                raise EnvironmentProblem(
                    f"Envoy does not start; its log ends:\n{self._envoy.tail()}",
                    where=str(self._envoy.log), next_step="Mend it and start the node again")
            time.sleep(0.05)
        self._card.is_serving = True

    def _joined_at_once(self) -> Site | None:
        """Return what `_join` does, if the store answers at the first try."""
        # an Envoy that runs serves its users already
        if not self._envoy.is_alive:
            with contextlib.suppress(StoreError, Unreachable):
                return self._prepared()
        return None

    def _join(self) -> Site | None:
        """Wait for the store and write Envoy's files; None when it is asked to end meanwhile."""
        said = ""
        while not self._stop.is_asked:
            try:
                return self._prepared()
            # waiting does not mend these
            except (WrongStoreVersion, InvalidInput):
                raise
            except (StoreError, Unreachable) as error:
                if str(error) != said:
                    LOG.error("the store cannot be used yet: %s", error)
                said = str(error)
                self._stop.wait(RETRY_SECONDS)
        return None

    def _prepared(self) -> Site:
        if self._store is None:
            self._store = Store.open(self._wanted.url, timeout=STORE_SECONDS)
        self._card.who = gateway_nodes.join(self._store, self._card.who)
        stored = plans.load(self._store, self._wanted.migration)
        site = self._site(stored, routing.read(self._store, stored.migration))
        for warning in warnings(site.plan):
            LOG.warning("note: %s", warning)
        return site

    def _site(self, stored: Plan, state: RoutingState) -> Site:
        """Return the migration with the plan in force, its files written."""
        plan = of_node(stored, self._wanted.listen, has_shadow=self._wanted.has_shadow)
        self._gateway.prepare(plan, state)
        if self._shadow.keep(plan):
            self._keeper.save()
        # for break glass after a start without the store
        retirement_note.foresee(self._home.gateway_files, plan)
        self._card.plan = plan
        self._note_if_outdated()
        self._digest = plans.digest_of(stored)
        self._card.who = replace(self._card.who, address=plan.routing.listen)
        self._card.old_plan = ""
        return Site(self._home, plan, self._opened, self._gateway)

    def _note_if_outdated(self) -> None:
        """Note whether Envoy has the listener of an earlier plan; started again, it has not."""
        plan, before = self._card.plan, self._card.note
        is_outdated = plan is not None and self._envoy.is_alive and self._gateway.is_outdated(plan)
        self._card.note = OUTDATED if is_outdated else ""
        if is_outdated and not before:
            LOG.warning("%s: start this node again when another serves its users", OUTDATED)

    @property
    def _opened(self) -> Store:
        assert self._store is not None  # noqa: S101  opened before
        return self._store

    def _serve(self, site: Site) -> None:
        """Work session after session, each with the plan that is in force, until the end."""
        is_ended = False
        while not is_ended:
            session = Session(site, self._card, self._digest)
            session.start()
            LOG.info("gateway node %s of %s listens on %s", self._wanted.name,
                     self._wanted.migration, site.plan.routing.listen)
            following = self._until_amended(session)
            is_ended = following is None
            if following is None:
                self._finish(session)
            else:
                session.end()
                site = following

    def _until_amended(self, session: Session) -> Site | None:
        """Keep a session at work; return the site with the next plan, None when it is to end."""
        refused = None
        while not self._stop.is_asked and not self._card.is_replaced:
            self._tick(session)
            amended, state = session.amended, self._card.state
            if amended is None or state is None or amended is refused:
                continue
            try:
                return self._site(amended, state)
            # a plan that Envoy refuses must not end a node that serves
            except ChangeoverError as error:
                refused = amended
                self._card.old_plan = f"goes on with the plan of before: {error.what}"
                LOG.error(self._card.old_plan)
        return None

    def _tick(self, session: Session) -> None:
        session.tick()
        self._log_cut_off()
        self._card.no_comparing = self._shadow.look()
        try:
            self._keeper.revive()
        # a full disk, a program that was replaced: tried again at the next tick
        except (ChangeoverError, OSError, psutil.Error) as error:
            LOG.error("envoy was not started again: %s", error)
        if self._card.note == OUTDATED:
            self._note_if_outdated()
        self._stop.wait(TICK_SECONDS)

    def _log_cut_off(self) -> None:
        """Log when the store falls silent, also when it hangs, and when it is back."""
        is_cut_off = self._card.is_cut_off
        if is_cut_off and not self._was_cut_off:
            LOG.error("cut off from the store: goes on with its last routes")
        elif self._was_cut_off and not is_cut_off:
            LOG.info("the store answers again")
        self._was_cut_off = is_cut_off

    def _finish(self, session: Session) -> None:
        """Serve on while load balancers notice, wait for the last answers, and say goodbye."""
        self._card.is_draining = True
        # before the store is told, which may hang
        with contextlib.suppress(Unreachable):
            self._gateway.admin.serve_no_more()
        self._say(None)
        LOG.info("draining for %g s", self._wanted.drain)
        self._while_draining(session, self._wanted.drain, lambda: False)
        self._while_draining(session, FINISH_SECONDS, self._is_idle)
        self._keeper.stop()
        _within(END_SECONDS, "sending what was measured last", session.end)
        self._say(Sign(NodeState.GONE, self._card.served, self._card.measured_until,
                       own_moves=tuple(self._card.moves.waiting() if self._card.moves else ())))
        LOG.info("gone")

    def _while_draining(
        self, session: Session, seconds: float, is_done: Callable[[], bool]
    ) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._stop.is_urgent and not is_done():
            session.tick()
            time.sleep(TICK_SECONDS)

    def _is_idle(self) -> bool:
        try:
            return self._gateway.admin.active_requests() == 0
        except Unreachable:
            return True

    def _say(self, said: Sign | None) -> None:
        def say() -> None:
            try:
                self._card.sign(self._opened, said=said)
            except StoreError as error:
                LOG.error("not said to the store: %s", error)

        _within(SAY_SECONDS, "saying to the store that it ends", say)


def _within(seconds: float, what: str, work: Callable[[], None]) -> None:
    """Do something that uses the store; go on without it when the store hangs."""
    # in a thread: who waits for a store that hangs cannot be interrupted
    thread = threading.Thread(target=work, name=what, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        LOG.error("%s is not waited for: the store does not answer", what)


class Stopping:
    """Whether the node is to end; asked a second time, it does not wait any more."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.is_urgent = False

    def ask(self, *_: object) -> None:
        """Ask it to end: a signal's handler."""
        self.is_urgent = self._asked.is_set()
        self._asked.set()

    @property
    def is_asked(self) -> bool:
        """Whether it was asked."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait until it is asked, or some seconds; return whether it was."""
        return self._asked.wait(seconds)


def identity(home: Home, wanted: Wanted) -> Identity:
    """Return who a node is; a home keeps the text that tells it from others.

    Raises:
        EnvironmentProblem: The home cannot be written.
    """
    known = home.secrets()
    if "node" not in known:
        known = {**known, "node": secrets.token_hex(16)}
        home.save_secrets(known)
    return Identity(wanted.migration, wanted.name, str(known["node"]), wanted.listen or "",
                    break_glass_url=wanted.opening.url if wanted.opening else "")
