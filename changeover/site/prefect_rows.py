"""Flow runs as Prefect's API tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from changeover.domain.prefect_owner import owner_in


@dataclass(frozen=True, slots=True)
class FlowRun:
    """A flow run as Prefect knows it. `flow` is the deployment's flow name, `said` the state's
    message, `migration` what its parameters name, if they do, `owner` the database that its tags
    name, `form` the name of the form that it waits for."""

    id: str
    name: str
    flow: str
    state_type: str
    state_name: str
    state_at: datetime
    scheduled_for: datetime | None
    run_count: int
    deployment_id: str | None = None
    said: str = ""
    migration: str = ""
    owner: str = ""
    form: str = ""


def flow_run(row: Mapping[str, Any], flow: str) -> FlowRun:
    """Return a flow run from the API's answer."""
    state = row.get("state") or {}
    details = state.get("state_details") or {}
    due = details.get("scheduled_time")
    return FlowRun(
        id=row["id"], name=row["name"], flow=flow, state_type=row.get("state_type") or "",
        state_name=row.get("state_name") or "",
        state_at=time_of(state.get("timestamp") or row["created"]),
        scheduled_for=time_of(due) if due else None, run_count=int(row.get("run_count") or 0),
        deployment_id=row.get("deployment_id"), said=state.get("message") or "",
        migration=str((row.get("parameters") or {}).get("migration") or ""),
        owner=owner_in(row.get("tags") or ()), form=str(details.get("pause_key") or ""),
    )


def time_of(text: str) -> datetime:
    """Return a moment from the API's text."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
