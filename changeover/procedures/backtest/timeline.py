"""Where users were, and when: from the audit's record of every change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from changeover.clock import from_timestamp
from changeover.domain.audit import AuditEvent
from changeover.domain.routing import ON_USERS, Mode
from changeover.site.site import Site
from changeover.store import audit


@dataclass(frozen=True, slots=True)
class Span:
    """A time without a break in which users were, or were not, on the candidate.

    Args:
        start: Unix second of its start.
        end: Unix second of its end, excluded.
        is_on_users: Whether the candidate answered users.
    """

    start: int
    end: int
    is_on_users: bool

    @property
    def seconds(self) -> int:
        """Its length."""
        return self.end - self.start


class Timeline:
    """Where users were between two times.

    Args:
        events: Events of the audit, in order.
        since: Start of the time.
        until: Its end.
    """

    def __init__(
        self, events: Sequence[AuditEvent], *, since: datetime, until: datetime
    ) -> None:
        self._changes = []
        for each in events:
            # changes of the routing have both; all other events move nobody
            if "mode" in each.data and "weight" in each.data:
                self._changes.append(
                    (each.at, Mode(each.data["mode"]), int(each.data["weight"])))
        self.since, self.until = since, until
        registered = [each.at for each in events if each.kind == "plan.registered"]
        self.registered_at = registered[-1] if registered else until

    def weight_at(self, moment: datetime) -> int:
        """Return how many buckets were the candidate's."""
        weights = [weight for at, _, weight in self._changes if at <= moment]
        return weights[-1] if weights else 0

    def spans(self) -> list[Span]:
        """Return the whole time, part by part, oldest first."""
        edges = [(self.since, self._is_on_users(self.since))]
        # only what changes whether users are on the candidate begins a part
        for at, mode, _ in self._changes:
            is_on_users = mode in ON_USERS
            if self.since < at < self.until and is_on_users != edges[-1][1]:
                edges.append((at, is_on_users))
        ends = [at for at, _ in edges[1:]] + [self.until]
        return [
            # a second in which users moved belongs to neither part
            Span(-int(-start.timestamp() // 1), int(end.timestamp()), is_on_users)
            for (start, is_on_users), end in zip(edges, ends, strict=True)
        ]

    def span_at(self, moment: datetime) -> Span | None:
        """Return the part that a moment is in."""
        return next((each for each in self.spans()
                     if from_timestamp(each.start) <= moment < from_timestamp(each.end + 1)), None)

    def _is_on_users(self, moment: datetime) -> bool:
        modes = [mode for at, mode, _ in self._changes if at <= moment]
        return bool(modes) and modes[-1] in ON_USERS


def read_timeline(site: Site, *, since: datetime, until: datetime) -> Timeline:
    """Return where users of a migration were.

    Raises:
        StoreError: The store cannot be read.
    """
    events = audit.events(site.store, site.migration)
    return Timeline(events, since=since, until=until)
