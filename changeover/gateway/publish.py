"""Bringing a routing state to Envoy: replace the file as a whole, and confirm what it serves.

Publishers may race (a flow, the observer, a person). Under one file lock the later state by
(epoch, version) always wins, so an old one can never come back; a refused configuration is taken
back at once, so that a restart of Envoy finds a good one. The lock is held while files are written,
never while Envoy is waited for.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from changeover import clock
from changeover.domain.publications import Publication
from changeover.domain.routing import BUCKETS, Mode, RoutingState
from changeover.errors import EnvironmentProblem, InvalidPlan, PublishFailed, Unreachable
from changeover.gateway.admin import Admin
from changeover.gateway.check import refusal
from changeover.gateway.envoy import time_limits
from changeover.gateway.envoy.config import (
    Json,
    parse_version,
    render_bootstrap,
    render_clusters,
    render_routes,
    version_of,
    with_version,
)
from changeover.gateway.envoy.withheld import is_withheld, withheld
from changeover.gateway.files import GatewayFiles, told_of
from changeover.machine.files import write_atomically
from changeover.plan.model import Plan

PATIENCE_SECONDS = 2.0
PATIENT_SECONDS = 10.0
_POLL_SECONDS = 0.003
_LOCK_SECONDS = 5.0
_INSISTING_SECONDS = 0.3
"""Files are written under the lock, which takes milliseconds."""


class Gateway:
    """One Envoy, reached through its files and its admin socket.

    Args:
        files: Where its files are.
        patience: Longest wait for Envoy to confirm what is published, in seconds. The observer,
            which asks again, goes on after a moment; people and flows wait for a busy machine.
    """

    def __init__(self, files: GatewayFiles, *, patience: float = PATIENCE_SECONDS) -> None:
        self.files = files
        self._patience = patience
        self._admin: Admin | None = None

    @property
    def admin(self) -> Admin:
        """The admin interface."""
        if self._admin is None:
            self._admin = Admin(self.files.admin_socket)
        return self._admin

    def prepare(self, plan: Plan, state: RoutingState) -> None:
        """Write everything Envoy starts with, and have Envoy check it.

        Routes already on disk that are later than `state` stay; those of the same state are
        written anew, because the plan may have changed. Nothing is written that Envoy refuses.

        Raises:
            InvalidPlan: Envoy refuses the configuration; its reason is the problem.
            EnvironmentProblem: Envoy is missing, or the directory cannot be written.
            Unreachable: Envoy does not judge it in time.
        """
        _make_directory(self.files.root)
        bootstrap = render_bootstrap(plan, self.files)
        clusters = render_clusters(plan, self.files)
        routes = render_routes(plan, state)
        widest = RoutingState(
            plan.migration, mode=Mode.GRADUAL, weight=BUCKETS // 2,
            segments=tuple(plan.routing.segments),
        )
        reason = refusal(bootstrap, clusters, [routes, render_routes(plan, widest)])
        if reason:
            raise InvalidPlan(f"plan of {plan.migration}", [f"the gateway refuses it: {reason}"])
        with self._locked():
            _replace(self.files.bootstrap, bootstrap)
            _replace(self.files.clusters, clusters)
            self._write_safe(plan, state)
            if (self.on_disk() or (-1, -1)) <= state.order:
                _replace(self.files.routes, self._routes(plan, state))

    def publish(
        self, plan: Plan, state: RoutingState, *, timeout: float | None = None
    ) -> Publication:
        """Bring `state` to Envoy and wait until it serves that version or a later one.

        Args:
            plan: The migration's plan.
            state: The routing state to serve.
            timeout: Longest wait for the confirmation, in seconds; default: the gateway's
                patience. A publisher before this one is waited for besides, unless this is a
                rollback.

        Returns:
            What is served now, with the seconds it took.

        Raises:
            PublishFailed: Envoy refused it (the old routes serve on), does not answer (the file is
                in place and serves as soon as it does), break glass was used and is not
                reconciled yet, or another process holds the lock and does not go on.
        """
        began, at = time.monotonic(), clock.now()
        is_rollback = state.mode is Mode.EMERGENCY_ROLLBACK
        with contextlib.ExitStack() as turn:
            if not is_rollback:  # which waits for nobody's confirmation
                longest = max(_LOCK_SECONDS, 1.5 * self._patience)
                turn.enter_context(self._held(self.files.turn, began + longest))
            wanted = self._publish(
                plan, state, is_rollback, self._patience if timeout is None else timeout)
        return Publication(
            migration=plan.migration, epoch=wanted[0], version=wanted[1], at=at,
            is_confirmed=True, seconds=time.monotonic() - began,
        )

    def _publish(
        self, plan: Plan, state: RoutingState, is_rollback: bool, timeout: float
    ) -> tuple[int, int]:
        """Replace the routes and wait for Envoy; return what is served.

        The lock on the routes is let go before Envoy is waited for, so that break glass and a
        rollback never wait for it. Refusals are one number for all updates:

        1. Publishers confirm one after the other, so that a refusal in that time is theirs.
        2. A rollback comes in between at any time. Its routes are those that were checked at the
           start, so a refusal is never its own: it is not taken back.
        3. Whoever is refused takes back only routes that are still its own.
        4. An Envoy that does not say its number beforehand may have refused others: routes count
           as refused only when it had all the time there is to take them.
        """
        refusals = math.inf if is_rollback else self._refusals()
        deadline = time.monotonic() + timeout
        with self._locked(insists=is_rollback):
            self._refuse_while_glass_is_broken()
            previous = self.files.routes.read_bytes() if self.files.routes.exists() else b""
            present = self.on_disk() or (-1, -1)
            if present < state.order or (
                present == state.order and self.is_withheld_on_disk() != self.holds()
            ):
                self._write_safe(plan, state)
                _replace(self.files.routes, self._routes(plan, state))
            wanted = max(present, state.order)
        try:
            self._confirm(wanted, refusals, deadline)
        except _RefusedByEnvoy as refused:
            self._take_back(state, previous)
            reason = str(refused) or self._why_refused(plan, state)
            raise PublishFailed(
                f"the gateway refused version {version_of(state)}: {reason}",
                where=str(self.files.routes),
                next_step="The routes before it serve on; mend the plan and publish again",
            ) from None
        return wanted

    def _take_back(self, state: RoutingState, previous: bytes) -> None:
        """Put the routes from before a refused state in place, unless others came meanwhile."""
        with self._locked():
            if self.on_disk() == state.order:
                write_atomically(self.files.routes, previous)

    def break_glass(
        self, *, reason: str, actor: str, now: datetime, busy: str = ""
    ) -> dict[str, Any]:
        """Send everyone to the baseline with nothing but the files: no store, no Prefect.

        The journal is written first; the observer carries it into the store when it can. Nobody is
        waited for longer than an instant: whoever holds the lock longer stands still, and what it
        writes when it wakes up the observer replaces.

        Args:
            reason, actor, now: What happened, who moves users, the present moment.
            busy: What keeps the store, when it is well and only busy; it follows.

        Returns the journal; one that is there already stays.
        """
        with self._locked(insists=True):
            epoch, version = self.on_disk() or (0, 0)
            safe = self._safe_routes()
            entry = self.journal() or {
                "epoch": epoch + 1, "version": version + 1, "reason": reason, "actor": actor,
                "at": now.isoformat(), **({"busy": busy} if busy else {}),
            }
            safe = with_version(safe, f"{entry['epoch']}.{entry['version']}")
            _replace(self.files.journal, entry)
            _replace(self.files.routes, safe)
        return entry

    def _safe_routes(self) -> Json:
        try:
            safe: Json = json.loads(self.files.safe_routes.read_bytes())
        except (OSError, ValueError) as error:
            raise EnvironmentProblem(
                f"there are no safe routes to serve: {error}", where=str(self.files.safe_routes),
                next_step="Run `changeover up` once: it writes them",
            ) from error
        return safe

    def journal(self) -> dict[str, Any] | None:
        """Return what was done without the store, which does not know it yet."""
        try:
            found: dict[str, Any] = json.loads(self.files.journal.read_bytes())
        except FileNotFoundError:
            return None
        return found

    def reconcile(self, plan: Plan, state: RoutingState) -> None:
        """Put the store's state in the place of what break glass wrote, and forget the journal.

        Args:
            plan: The migration's plan.
            state: The state that the store has now; everyone is at the baseline in it.
        """
        with self._locked():
            _replace(self.files.routes, self._routes(plan, state))
            self.files.journal.unlink(missing_ok=True)

    def guard(self) -> dict[str, Any]:
        """Return what the guard noted last: `level`, `held`, `reason`, `since`; empty before."""
        try:
            found = json.loads(self.files.guard.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def holds(self) -> bool:
        """Whether users of the candidate are given the baseline's answer for now."""
        return bool(self.guard().get("held", False))

    def hold(
        self, plan: Plan, state: RoutingState, entry: dict[str, Any], *, timeout: float = 1.0
    ) -> bool:
        """Note what the guard does, and have Envoy serve routes that fit `entry["held"]`.

        The version that is served stays. Whoever publishes meanwhile or later, here or in another
        process, publishes held routes too. A rollback never waits for this.

        Args:
            plan: The migration's plan.
            state: The routing state as it is known.
            entry: What is kept, JSON-able.
            timeout: Longest wait for Envoy, in seconds.

        Returns:
            Whether Envoy serves them. False: call again, with the newest state; nothing is lost.

        Raises:
            EnvironmentProblem: A file cannot be written; what was noted before stays.
            PublishFailed: Another process holds the lock and does not go on; call again.
        """
        wanted = bool(entry["held"])
        with self._locked():
            if self.guard() != entry:
                _replace(self.files.guard, entry)
            if self.journal() is not None:
                return True  # everyone is at the baseline anyway
            if self.is_withheld_on_disk() != wanted:
                if self.on_disk() != state.order:
                    return False
                _replace(self.files.routes, self._routes(plan, state))
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                if self.admin.is_withheld() == wanted:
                    return True
            except Unreachable:
                return False
            time.sleep(_POLL_SECONDS)
        return False

    def _routes(self, plan: Plan, state: RoutingState) -> Json:
        """Return the routes of a state, held while the guard says so."""
        routes = render_routes(plan, state)
        return withheld(routes, time_limits.beginning(plan)) if self.holds() else routes

    def is_withheld_on_disk(self) -> bool:
        """Whether the routes in place leave the candidate out for the guard."""
        try:
            found = json.loads(self.files.routes.read_bytes())
        except (FileNotFoundError, ValueError):
            return False
        return any(is_withheld(resource) for resource in found.get("resources", []))

    def on_disk(self) -> tuple[int, int] | None:
        """Return (epoch, version) of the routes in place, None before the first."""
        try:
            return parse_version(json.loads(self.files.routes.read_bytes())["version_info"])
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def served(self) -> tuple[int, int] | None:
        """Return (epoch, version) that Envoy serves.

        Raises:
            Unreachable: Envoy does not answer.
        """
        return self.admin.served().version

    def _confirm(self, wanted: tuple[int, int], refusals: float | None, deadline: float) -> None:
        """Wait until Envoy serves `wanted` or later, or refuses more than `refusals` updates."""
        last: Exception | None = None
        while True:
            is_over = time.monotonic() > deadline
            if is_over and refusals is None:
                refusals = 0
            try:
                served = self.admin.served()
                if served.version is not None and served.version >= wanted:
                    return
                if refusals is not None and served.refusals > refusals:
                    raise _RefusedByEnvoy(self.admin.refusal())
                last = None
            except Unreachable as error:
                last = error
            if is_over:
                break
            time.sleep(_POLL_SECONDS)
        why = str(last) if last else "it did not take the new routes in time"
        raise PublishFailed(
            f"version {wanted[0]}.{wanted[1]} is in place but not confirmed: {why}",
            where=str(self.files.routes),
            next_step="It serves as soon as the gateway runs; look at logs/envoy.log",
        )

    def _why_refused(self, plan: Plan, state: RoutingState) -> str:
        """Ask Envoy again in words: it only counts what it refuses from watched files."""
        reason = ""
        with contextlib.suppress(Unreachable):
            reason = refusal(
                render_bootstrap(plan, self.files), render_clusters(plan, self.files),
                [render_routes(plan, state)],
            )
        return reason or "no reason given; look at logs/envoy.log"

    def _refusals(self) -> int | None:
        """Return how many updates Envoy refused so far; None when it does not say."""
        try:
            return self.admin.served().refusals
        except Unreachable:
            return None

    def _refuse_while_glass_is_broken(self) -> None:
        if self.journal() is not None:
            raise PublishFailed(
                f"not published because {told_of(self.journal() or {})}",
                where=str(self.files.journal),
                next_step="The observer reconciles it as soon as the store answers; "
                "see `changeover status`",
            )

    def _write_safe(self, plan: Plan, state: RoutingState) -> None:
        """Keep routes to the baseline at hand, so that break glass needs nothing else."""
        safe = RoutingState(plan.migration, version=state.version, epoch=state.epoch)
        _replace(self.files.safe_routes, render_routes(plan, safe))

    @contextlib.contextmanager
    def _locked(self, *, insists: bool = False) -> Iterator[None]:
        """Hold the lock on the routes; whoever `insists` goes on without it after an instant.

        Raises:
            PublishFailed: Another process holds it and does not go on.
        """
        patience = _INSISTING_SECONDS if insists else _LOCK_SECONDS
        with self._held(self.files.lock, time.monotonic() + patience, insists=insists):
            yield

    @contextlib.contextmanager
    def _held(self, lock: Path, deadline: float, *, insists: bool = False) -> Iterator[None]:
        try:
            handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise EnvironmentProblem(
                f"the gateway's directory cannot be written: {error.strerror}",
                where=str(self.files.root),
            ) from error
        try:
            while not _flock(handle):
                if time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
                elif insists:
                    break
                else:
                    raise PublishFailed(
                        "not published because another process holds the lock and does not go on",
                        where=str(lock), next_step=f"Find it with `fuser {lock}`, and end it if "
                        "it stands still; a rollback does not wait for it")
            yield
        finally:
            os.close(handle)


def _flock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _RefusedByEnvoy(Exception):
    """Envoy did not take an update."""


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"the gateway's directory cannot be made: {error.strerror}", where=str(path),
        ) from error


def _replace(path: Path, content: Json) -> None:
    write_atomically(path, json.dumps(content))
