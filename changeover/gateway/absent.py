"""No gateway on this machine: a spare observer judges for gateways elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from changeover import clock
from changeover.domain.publications import Publication
from changeover.domain.routing import RoutingState
from changeover.errors import Unreachable
from changeover.gateway.protocol import Answer, Serving
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan


class AbsentGateway(Gateway):
    """Confirms everything at once; nodes confirm for themselves, in the store."""

    is_here = False
    _order: tuple[int, int] | None = None

    def publish(
        self, plan: Plan, state: RoutingState, *, timeout: float | None = None
    ) -> Publication:
        """Remember the state: whoever publishes it goes on to the nodes."""
        self._order = max(self._order or (-1, -1), state.order)
        return Publication(
            migration=plan.migration, epoch=state.epoch, version=state.version, at=clock.now(),
            is_confirmed=True, seconds=0.0)

    def on_disk(self) -> tuple[int, int] | None:
        """Return (epoch, version) that was published last."""
        return self._order

    def served(self) -> tuple[int, int] | None:
        """Return the same: there is no Envoy that could lag."""
        return self._order

    def serving(self, state: RoutingState) -> Serving:
        """Return that nobody here knows: nodes confirm in the store, each in its row."""
        return Serving(Answer.SILENT, "is on another machine, and is not asked from here")

    def has_streams_to_end(self, plan: Plan, state: RoutingState) -> bool:
        """Return False: there are no connections."""
        return False

    def break_glass(
        self, *, reason: str, actor: str, now: datetime, busy: str = "",
        facts: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Refuse: only the store reaches users from here.

        Raises:
            Unreachable: Always.
        """
        raise Unreachable("the store does not answer, and there is no gateway on this machine")
