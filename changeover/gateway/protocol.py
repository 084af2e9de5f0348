"""What the rest of Changeover needs from a gateway, whatever serves the users behind it. Pure.

One gateway exists so far (`gateway.publish.Gateway`, an Envoy on this machine). Another kind, or
several of them as one, only has to offer this.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from changeover.domain.publications import Publication
from changeover.domain.routing import RoutingState
from changeover.plan.model import Plan


class Answer(StrEnum):
    """Whether a gateway serves a routing state."""

    SERVES = "serves"
    WITHHOLDS = "withholds"  # it does, but back-pressure keeps users from the candidate
    # It does, but withholds users although it should not, or the other way round.
    UNLIKE_BACK_PRESSURE = "unlike_back_pressure"
    DRIFTED = "drifted"  # it serves another version
    GLASS_IS_BROKEN = "glass_is_broken"  # everyone is at the baseline; the store does not know yet
    SILENT = "silent"  # it does not answer


@dataclass(frozen=True, slots=True)
class Serving:
    """What a gateway does with users, asked about one routing state.

    `text` says it to people, without a subject: `serves gradual 25 % (version 7, epoch 0)`.
    """

    answer: Answer
    text: str

    @property
    def is_current(self) -> bool:
        """Whether the state's version is what users get."""
        return self.answer in (Answer.SERVES, Answer.WITHHOLDS, Answer.UNLIKE_BACK_PRESSURE)


class TrafficGateway(Protocol):
    """Sends users to the systems. `name` distinguishes the gateways of one migration.

    `is_here` is False where there is none on this machine.
    """

    name: str
    is_here: bool

    def publish(
        self, plan: Plan, state: RoutingState, *, timeout: float | None = None
    ) -> Publication:
        """Serve a routing state, and return once it is served.

        Raises:
            PublishFailed: That is not confirmed.
        """

    def serving(self, state: RoutingState) -> Serving:
        """Return whether a routing state is served, and in words what is instead."""

    def break_glass(
        self, *, reason: str, actor: str, now: datetime, busy: str = ""
    ) -> dict[str, Any]:
        """Send everyone to the baseline without the store, and return the journal of it."""
