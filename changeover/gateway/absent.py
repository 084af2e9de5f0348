"""No gateway on this machine: a flow or a spare observer whose gateways are all elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from changeover import clock
from changeover.analysis.window import MAIN_GATEWAY
from changeover.domain.publications import Publication
from changeover.domain.routing import RoutingState
from changeover.errors import Unreachable
from changeover.gateway.files import GatewayFiles
from changeover.gateway.protocol import Answer, Serving
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.store import main_gateways
from changeover.store.engine import Store


class AbsentGateway(Gateway):
    """Has nothing to publish to: gateways elsewhere follow the store, and confirm it there.

    Args:
        files: Where a gateway's files would be; none are written.
        store: The store, for what the gateways elsewhere say.
        migration: Name of the migration.
        name: Distinguishes whoever measures from here; the main gateway's where nothing does.
    """

    is_here = False
    _order: tuple[int, int] | None = None

    def __init__(
        self, files: GatewayFiles, store: Store, migration: str, *, name: str = MAIN_GATEWAY
    ) -> None:
        super().__init__(files, name=name)
        self._store, self._migration = store, migration

    def publish(
        self, plan: Plan, state: RoutingState, *, timeout: float | None = None
    ) -> Publication:
        """Remember the state: whoever publishes it goes on to wait for the gateways elsewhere."""
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
        """Return whether the gateways elsewhere serve a routing state, by what they said.

        Raises:
            StoreError: The store cannot be read.
        """
        fleet = main_gateways.all_gateways(self._store, self._migration)
        if not fleet.counted:
            return Serving(
                Answer.SILENT, "is on another machine, and none was ever heard of")
        text = f"is on another machine: {fleet.text(state.order)}"
        if not fleet.live:
            return Serving(Answer.SILENT, text)
        is_behind = fleet.behind(state.order) or fleet.lost(state.order)
        return Serving(Answer.DRIFTED if is_behind else Answer.SERVES, text)

    def is_outdated(self, plan: Plan) -> bool:
        """Whether the main machine's gateway says that it runs with an earlier plan's listener."""
        main = main_gateways.find(self._store, self._migration)
        return main is not None and main.is_outdated

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
