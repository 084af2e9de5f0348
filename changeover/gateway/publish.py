"""Bringing a routing state to Envoy: replace the file as a whole, and confirm what it serves.

Publishers may race (a flow, the observer, a person). Under one file lock the later state by
(epoch, version) always wins, so an old one can never come back. A configuration that Envoy refuses
is reverted at once, so that a restart of Envoy finds a good one. The files are locked while they
are written, never while a publisher waits for Envoy.
"""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any

from changeover import clock
from changeover.analysis.window import MAIN_GATEWAY
from changeover.domain.publications import Publication
from changeover.domain.routing import BUCKETS, Mode, RoutingState
from changeover.errors import EnvironmentProblem, InvalidPlan, PublishFailed, Unreachable
from changeover.gateway import tls_files, user_list_files
from changeover.gateway.back_pressure import BackPressure
from changeover.gateway.break_glass import BreakGlass
from changeover.gateway.check import refusal
from changeover.gateway.envoy import time_limits, tls
from changeover.gateway.envoy.clusters import render_clusters
from changeover.gateway.envoy.config import (
    render_bootstrap,
    render_routes,
    render_whole,
    started_with,
    version_of,
)
from changeover.gateway.envoy.withheld import withheld
from changeover.gateway.files import GatewayFiles, describe_journal
from changeover.gateway.protocol import Answer, Serving, TrafficGateway
from changeover.gateway.routes_on_disk import (
    LOCK_SECONDS,
    POLL_SECONDS,
    replace_json,
)
from changeover.machine.files import write_atomically
from changeover.plan.model import Plan

# The observer asks again every second; commands and flows ask once (decision 0014).
PATIENCE_SECONDS = 2.0
PATIENT_SECONDS = 10.0


class Gateway(BreakGlass, BackPressure, TrafficGateway):
    """One Envoy, reached through its files and its admin socket.

    Args:
        files: Where its files are.
        patience: Longest wait for Envoy to confirm what is published, in seconds. The observer,
            which asks again, goes on after a moment; people and flows wait for a busy machine.
        name: Distinguishes it from other gateways of the same migration, in samples too.
    """

    is_here = True

    def __init__(
        self, files: GatewayFiles, *, patience: float = PATIENCE_SECONDS, name: str = MAIN_GATEWAY
    ) -> None:
        super().__init__(files)
        self.name = name
        self._patience = patience

    def prepare(self, plan: Plan, state: RoutingState) -> None:
        """Write everything Envoy starts with, and have Envoy check it.

        Routes already on disk that are later than `state` stay, as do those of break glass; those
        of the same state are written anew, because the plan may have changed. Nothing is written
        that Envoy refuses.

        Raises:
            InvalidPlan: Envoy refuses the configuration; its reason is the problem.
            EnvironmentProblem: Envoy is missing, the directory cannot be written, or a certificate
                cannot be read.
            Unreachable: Envoy does not check it in time.
        """
        _make_directory(self.files.root)
        tls_files.require(plan)
        # Before anything is checked: Envoy reads them for that, too.
        for name, secret in tls.secrets(plan).items():
            replace_json(self.files.secret(name), secret)
        lists = user_list_files.write(self.files, plan)
        bootstrap = render_bootstrap(plan, self.files)
        clusters = render_clusters(plan, self.files)
        reason = refusal(render_whole(plan, self.files), clusters, self._of_all_stages(plan, state))
        if reason:
            raise InvalidPlan(f"plan of {plan.migration}", [f"the gateway refuses it: {reason}"])
        with self.locked():
            replace_json(self.files.bootstrap, bootstrap)
            had_hops = self.files.listeners.exists()
            # an Envoy that runs on has the hops before a cluster leads to them
            self.write_hops(plan)
            replace_json(self.files.clusters, clusters)
            self.write_safe(plan, state)
            # under a journal users stay where it sent them, until the store knows of it
            is_broken = self.files.journal.exists()
            if not is_broken and (self.on_disk() or (-1, -1)) <= state.order:
                replace_json(self.files.routes, self.routes_of(plan, state))
                self.end_streams(plan, state)
            elif not had_hops:
                self.end_streams(plan, state)
        user_list_files.remove_others(self.files, lists)

    def _of_all_stages(self, plan: Plan, state: RoutingState) -> list[dict[str, Any]]:
        """Return a state's routes, and those that are still to come.

        Envoy sees them now: a segment that it refuses is found before users move.
        """
        widest = RoutingState(
            plan.migration, mode=Mode.GRADUAL, weight=BUCKETS // 2,
            segments=tuple(plan.routing.segments),
            routes=tuple((each.name, BUCKETS // 2) for each in plan.routes),
        )
        wide = self.rendered(plan, widest)
        # Those of back-pressure, too: a rollback must never be the first to find them wrong.
        return [self.rendered(plan, state), wide, withheld(wide, time_limits.beginnings(plan))]

    def publish(
        self, plan: Plan, state: RoutingState, *, timeout: float | None = None
    ) -> Publication:
        """Bring `state` to Envoy and wait until it serves that version or a later one.

        Args:
            plan: The migration's plan.
            state: The routing state to serve.
            timeout: Longest wait for the confirmation, in seconds; default: the gateway's
                patience. Unless this is a rollback, it also waits for a publisher before it.

        Returns:
            What is served now, with the seconds it took.

        Raises:
            PublishFailed: Envoy refused it (the old routes stay), does not answer (the new file is
                in place and serves as soon as it does), break glass was used and is not
                reconciled yet, or another process keeps the lock and does not go on.
        """
        began, at = time.monotonic(), clock.now()
        is_rollback = state.mode is Mode.EMERGENCY_ROLLBACK
        with contextlib.ExitStack() as turn:
            if not is_rollback:  # a rollback waits for no other publisher
                # The one before may use up its whole patience; then it is our turn.
                longest = max(LOCK_SECONDS, 1.5 * self._patience)
                turn.enter_context(self.locking(self.files.turn, began + longest))
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

        The routes are unlocked before this waits for Envoy, so that break glass and a rollback
        never wait for Envoy. Refusals are one number for all updates:

        1. Publishers confirm one after the other, so that a refusal in that time is theirs.
        2. A rollback may come in between at any time. Its routes were checked at the start, so a
           refusal is never its own, and it is not reverted.
        3. Whoever is refused reverts only routes that are still its own.
        4. When Envoy did not say its number beforehand, it may have refused other routes: ours
           count as refused only after the whole timeout.
        """
        refusals = math.inf if is_rollback else self._refusals()
        deadline = time.monotonic() + timeout
        with self.locked(insists=is_rollback):
            self._refuse_while_glass_is_broken()
            previous = self.files.routes.read_bytes() if self.files.routes.exists() else b""
            present = self.on_disk() or (-1, -1)
            # The same version is written again only where back-pressure began or ended since.
            is_mark_wrong = self.is_withheld_on_disk() != self.withholds()
            is_same = present == state.order
            if present < state.order or (is_same and is_mark_wrong):
                self.write_safe(plan, state)
                replace_json(self.files.routes, self.routes_of(plan, state))
            wanted = max(present, state.order)
            self._end_streams_of(plan, state, wanted)
        try:
            self._confirm(wanted, refusals, deadline)
        except _RefusedByEnvoy as refused:
            self._revert(state, previous)
            reason = str(refused) or self._why_refused(plan, state)
            raise PublishFailed(
                f"the gateway refused version {version_of(state)}: {reason}",
                where=str(self.files.routes),
                next_step="The routes before it stay; correct the plan and publish again",
            ) from None
        return wanted

    def _end_streams_of(self, plan: Plan, state: RoutingState, wanted: tuple[int, int]) -> None:
        # after the routes, which clients must find; killed in between, the observer sees it undone
        if wanted == state.order:
            self.end_streams(plan, state)

    def _revert(self, state: RoutingState, previous: bytes) -> None:
        """Put the routes from before a refused state in place, unless others came meanwhile."""
        with self.locked():
            if self.on_disk() == state.order:
                write_atomically(self.files.routes, previous)

    def served(self) -> tuple[int, int] | None:
        """Return (epoch, version) that Envoy serves.

        Raises:
            Unreachable: Envoy does not answer.
        """
        return self.admin.served().version

    def is_outdated(self, plan: Plan) -> bool:
        """Whether Envoy runs on with the listener of another plan, until it is started again.

        Routes and systems follow a plan at once. The address, TLS, limits, what the script looks
        for and what the log notes do not. False while Envoy does not answer.
        """
        with contextlib.suppress(Unreachable):
            return self.admin.started_with() != started_with(render_bootstrap(plan, self.files))
        return False

    def serves_within(self, order: tuple[int, int], seconds: float) -> bool:
        """Wait a moment until Envoy serves a version or a later one; return whether it does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if (self.served() or (-1, -1)) >= order:
                    return True
            except Unreachable:
                return False
            time.sleep(POLL_SECONDS)
        return False

    def serving(self, state: RoutingState) -> Serving:
        """Return whether Envoy serves a routing state, and in words what it does instead.

        Everyone who shows or checks this asks here, so that all say the same.
        """
        journal = self.journal()
        glass = describe_journal(journal) if journal is not None else ""
        try:
            served, is_withholding = self.served(), self.admin.is_withheld()
        except Unreachable as error:
            text = error.what.removeprefix("the gateway ")
            if glass:
                text = f"{text}; {glass}"
            return Serving(Answer.SILENT, text)
        # Before the version: break glass changed it, and "drifted" would hide why.
        if glass:
            return Serving(Answer.GLASS_IS_BROKEN, glass)
        if served != state.order:
            present = "no routes" if served is None else "version {}.{}".format(*served)
            wanted = version_of(state)
            text = f"serves {present}, the routing state is version {wanted}"
            return Serving(Answer.DRIFTED, text)
        return self._as_to_back_pressure(state, is_withholding)

    def _as_to_back_pressure(self, state: RoutingState, is_withholding: bool) -> Serving:
        """Return how a state that Envoy has is served: as it is, or without the candidate."""
        if is_withholding != self.withholds():
            does = "withholds" if is_withholding else "does not withhold"
            text = f"{does} the candidate's users, unlike back-pressure wants"
            return Serving(Answer.UNLIKE_BACK_PRESSURE, text)
        if is_withholding:
            reason = self.back_pressure().get("reason", "")
            text = f"back-pressure: the candidate gets nothing ({reason})"
            return Serving(Answer.WITHHOLDS, text)
        return Serving(Answer.SERVES, f"serves {state.describe()}")

    def _confirm(self, wanted: tuple[int, int], refusals: float | None, deadline: float) -> None:
        """Wait until Envoy serves `wanted` or later, or refuses more than `refusals` updates."""
        last: Exception | None = None
        while True:
            # Asked once more after the deadline: the last answer may be older than the change.
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
            time.sleep(POLL_SECONDS)
        why = str(last) if last else "it did not take the new routes in time"
        raise PublishFailed(
            f"version {wanted[0]}.{wanted[1]} is in place but not confirmed: {why}",
            where=str(self.files.routes),
            next_step="It serves as soon as the gateway runs; see logs/envoy.log",
        )

    def _why_refused(self, plan: Plan, state: RoutingState) -> str:
        """Ask Envoy again in words: it only counts what it refuses from watched files."""
        reason = ""
        with contextlib.suppress(Unreachable):
            reason = refusal(
                render_whole(plan, self.files), render_clusters(plan, self.files),
                [render_routes(plan, state)],
            )
        return reason or "no reason given; see logs/envoy.log"

    def _refusals(self) -> int | None:
        """Return how many updates Envoy refused so far; None when it does not say."""
        try:
            return self.admin.served().refusals
        except Unreachable:
            return None

    def _refuse_while_glass_is_broken(self) -> None:
        if self.journal() is not None:
            raise PublishFailed(
                f"not published because {describe_journal(self.journal() or {})}",
                where=str(self.files.journal),
                next_step="The observer reconciles it as soon as the store answers; "
                "see `changeover status`",
            )


class _RefusedByEnvoy(Exception):
    """Envoy did not take an update."""


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"the gateway's directory cannot be made: {error.strerror}", where=str(path),
        ) from error
