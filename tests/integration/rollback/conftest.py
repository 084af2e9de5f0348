"""The procedures beside a real gateway, two real systems and a real store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.rollbacks import Cause
from changeover.domain.routing import Change, Mode, RoutingState
from changeover.procedures import rollback
from changeover.procedures.rollback import RollbackStart
from changeover.procedures.steps import CutoverRun
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import audit, cutovers, plans, routing
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.support.ready_store import ready_store


@dataclass
class Scene:
    """What the procedures work with, and the systems behind it."""

    place: Site
    bench: Bench

    def begin(self) -> CutoverRun:
        """Begin a cutover and move everyone to the candidate."""
        cutover = cutovers.begin(self.place.store, "bench", flow_run_id="run", now=clock.now())
        self.move(Mode.GRADUAL, 5_000)
        self.move(Mode.CANDIDATE_ONLY)
        return CutoverRun(self.place, cutover)

    def move(
        self, mode: Mode, weight: int = 0, segments: tuple[str, ...] = ()
    ) -> RoutingState:
        """Change the store's state and bring it to the gateway."""
        change = Change(mode=mode, weight=weight, segments=segments, is_by_person=True)
        state = routing.change(
            self.place.store, "bench", change, Author("test", "test"), now=clock.now())
        self.place.gateway.publish(self.place.plan, state)
        return state

    def roll_back(self, **more: Any) -> RollbackStart:
        """Carry out step 1."""
        return rollback.start(self.place, Cause("ann", "it burns"), **more)

    def pulled(self) -> list[str]:
        """Return the levers that were pulled, in order."""
        return [event.data["lever"] for event in audit.events(self.place.store, "bench")
                if event.kind == "lever.pulled"]


Open = Callable[..., Scene]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Open]:
    """Return a function that starts everything for a plan with the given parts."""
    with ExitStack() as stack:

        def begin(**parts: Any) -> Scene:
            home = Home(tmp_path / "home")
            home.create()
            plan = make_plan(health_timeout="30s", **parts)
            bench = stack.enter_context(contextlib.contextmanager(start_bench)(plan, home.root))
            store = ready_store(home.store_url)
            stack.callback(store.close)
            plans.register(store, bench.plan, source="test", now=clock.now())
            return Scene(Site(home, bench.plan, store, bench.gateway), bench)

        yield begin
