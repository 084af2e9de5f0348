"""Every decision as an event of Prefect, for its feed and its automations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from changeover.domain.audit import AuditEvent
from changeover.domain.decisions import data_of, event_id, is_late, name_of, subject_of
from changeover.domain.relays import PREFECT
from changeover.errors import Unreachable
from changeover.site.prefect_api import PrefectApi

LATE_SECONDS = 600.0
"""An event that Prefect gets later than this says so: automations that act must leave it."""


class PrefectFeed:
    """Prefect's event feed as a receiver.

    Args:
        api: Prefect's API.
        clock: The present moment.
    """

    target = PREFECT
    kinds = ("*",)
    give_up_after = timedelta(days=7)  # Prefect itself keeps events no longer
    most_at_once = 50

    def __init__(self, api: PrefectApi, clock: Callable[[], datetime]) -> None:
        self._api, self._clock = api, clock

    def deliver(self, events: Sequence[AuditEvent]) -> str:
        """Send events; return why Prefect did not take them."""
        now = self._clock()
        try:
            self._api.emit([prefect_event(event, now) for event in events])
        except Unreachable as error:
            return str(error)
        return ""


def prefect_event(event: AuditEvent, now: datetime) -> dict[str, Any]:
    """Return an event of the audit as Prefect's API takes it.

    Prefect ignores an event whose id it has, so what is sent twice acts once.
    """
    late = is_late(event, now, after_seconds=LATE_SECONDS)
    return {
        "id": str(event_id(event)),
        "occurred": event.at.isoformat(),
        "event": name_of(event),
        "resource": {
            "prefect.resource.id": f"changeover.migration.{event.migration}",
            "prefect.resource.name": event.migration,
            # automations can match labels only
            "changeover.subject": subject_of(event),
            "changeover.late": "true" if late else "false",
        },
        "related": _related(event),
        "payload": data_of(event),
    }


def _related(event: AuditEvent) -> list[dict[str, str]]:
    """Return the flow run that an event is about, so that Prefect's page links to it."""
    run_id = event.data.get("flow_run_id")
    if not run_id:
        return []
    return [{"prefect.resource.id": f"prefect.flow-run.{run_id}",
             "prefect.resource.role": "flow-run"}]
