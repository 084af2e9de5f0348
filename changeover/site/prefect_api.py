"""The little of Prefect's REST API that the core needs, without importing Prefect."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from changeover.domain.prefect_owner import is_foreign, own_name, owner_in, tag
from changeover.errors import Refused, StoreError, Unreachable
from changeover.machine.http import new_client
from changeover.site.prefect_problems import problem
from changeover.site.prefect_rows import FlowRun, flow_run, time_of

if TYPE_CHECKING:
    import httpx  # imported when a client is made: commands that ask nothing start without it

BUSY_PAUSE_SECONDS = 0.25
KNOWN_SECONDS = 30.0
"""For how long a deployment's id and pool are believed: it may be deployed anew at any time."""
POOL = "changeover"
TRIGGERS_VARIABLE = "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED"
"""With it in the environment of `changeover up`, its Prefect server acts on automations."""
SILENT_WORKER = timedelta(seconds=90)
"""A worker gives a sign of life every 30 s (Prefect's default): three in a row are missing."""


class PrefectApi:
    """A client of one Prefect server. Every call may raise Unreachable.

    A server whose database is busy says so (503); it is asked again for up to `timeout`.

    Args:
        url: Address of the API, as `http://127.0.0.1:4200/api`.
        timeout: Longest wait for an answer, in seconds.
        owner: Says which database asks: several may use the server. Empty: whatever is there.
    """

    def __init__(
        self, url: str, *, timeout: float = 5.0, owner: Callable[[], str] = str
    ) -> None:
        self.url, self._owner = url.rstrip("/"), owner
        self._timeout = timeout
        secret = os.environ.get("PREFECT_API_AUTH_STRING", "")
        user, _, password = secret.partition(":")
        self._client = new_client(
            timeout=timeout, base_url=self.url, auth=(user, password) if secret else None,
        )
        self._deployments: dict[str, tuple[str, float]] = {}
        self._pool = POOL, float("-inf")

    def is_alive(self) -> bool:
        """Whether the server answers."""
        try:
            return bool(self._call("GET", "/health"))
        except Unreachable:
            return False

    def problem(self) -> str:
        """Return why nobody can work with the server; empty when one can."""
        import httpx

        try:
            answer = self._client.get("/admin/version")
        except httpx.HTTPError as error:
            return f"it does not answer ({type(error).__name__})"
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return ("it wants a password: set PREFECT_API_AUTH_STRING here to its "
                    "PREFECT_SERVER_API_AUTH_STRING")
        if answer.is_success and answer.text.startswith('"'):  # a version, as JSON
            return ""
        return (f"it answers {answer.status_code}, not as Prefect's API does, whose address ends "
                "with /api")

    def deployment_id(self, name: str) -> str | None:
        """Return the id of a deployment called `FLOW/NAME`, or None."""
        known, asked_at = self._deployments.get(name, ("", 0.0))
        if not known or time.monotonic() - asked_at > KNOWN_SECONDS:
            found = self._deployment(name)
            if found is None:
                self._deployments.pop(name, None)
                return None
            known = str(found["id"])
            self._deployments[name] = (known, time.monotonic())
        return known

    def owner(self) -> str:
        """Return which database asks; empty: none is named.

        Raises:
            Unreachable: The store does not say it.
        """
        try:
            return self._owner()
        except StoreError as error:
            raise Unreachable(
                f"the store does not say what is ours: {error}", where=self.url) from error

    def named(self, name: str) -> dict[str, Any] | None:
        """Return the deployment called `FLOW/NAME`, whoever's it is, or None."""
        found = self._call("GET", f"/deployments/name/{name}", missing=None)
        return dict(found) if found is not None else None

    def is_own(self, name: str) -> bool:
        """Whether a deployment `FLOW/NAME` is there whose tag names the database that asks."""
        found = self._deployment(name)
        return found is not None and owner_in(found.get("tags") or ()) == self.owner()

    def _deployment(self, name: str) -> dict[str, Any] | None:
        """Return a deployment of this database; another one's of the same name is not ours."""
        found = self.named(name)
        if found is None or not (owner := self.owner()):
            return found
        marked = owner_in(found.get("tags") or ())
        if marked == owner:
            return found
        # one without a tag is from before there were any: ours, unless we have one beside it
        own = self.named(own_name(name, owner))
        return own if own or marked else found

    def begun(self, flow: str) -> list[str]:
        """Return the ids of the newest runs of the deployment `FLOW/main` that ever began."""
        rows = self._call("POST", "/flow_runs/filter", {
            "flows": {"name": {"any_": [flow]}}, "deployments": {"name": {"any_": ["main"]}},
            "flow_runs": {"start_time": {"is_null_": False}},
            "sort": "START_TIME_DESC", "limit": 100})
        return [str(row["id"]) for row in rows]

    def forget_deployments(self) -> None:
        """Ask anew for the ids of deployments, which may have been made again."""
        self._deployments.clear()

    def has_deployment(self, deployment_id: str) -> bool:
        """Whether a deployment is there; runs outlive theirs."""
        return self.owner_of(deployment_id) is not None

    def owner_of(self, deployment_id: str) -> str | None:
        """Return which database a deployment's tags name, empty for none; None: it is not there."""
        found = self._call("GET", f"/deployments/{deployment_id}", missing=None)
        return None if found is None else owner_in(found.get("tags") or ())

    def schedule_problem(self, name: str) -> str:
        """Return why the deployment `FLOW/NAME` makes no runs by itself; empty when it does."""
        found = self._deployment(name)
        if found is None:
            return f"{name} is not deployed"
        is_on = any(schedule.get("active") for schedule in found.get("schedules") or ())
        return "" if is_on and not found.get("paused") else f"the schedule of {name} is paused"

    def pool(self) -> str:
        """Return the work pool in which `cutover/main` is deployed; ours when it is nowhere."""
        name, asked_at = self._pool
        if time.monotonic() - asked_at > KNOWN_SECONDS:
            found = self._deployment("cutover/main")
            name = str((found or {}).get("work_pool_name") or POOL)
            self._pool = name, time.monotonic()
        return name

    def has_pool(self, name: str) -> bool:
        """Whether there is a work pool of a name."""
        return self._call("GET", f"/work_pools/{name}", missing=None) is not None

    def job_variables(self) -> dict[str, Any]:
        """Return the job variables with which `cutover/main` is deployed."""
        found = self._deployment("cutover/main")
        return dict((found or {}).get("job_variables") or {})

    def pool_problem(self, now: datetime | None = None) -> str:
        """Return why no worker would start a run; empty when nothing is known against it.

        Args:
            now: The present moment; None does not check for a worker.
        """
        pool = self.pool()
        found = self._call("GET", f"/work_pools/{pool}", missing=None)
        if found is None:
            return f"work pool {pool} was deleted: run `changeover up` again"
        if found.get("is_paused"):
            return f"work pool {pool} is paused: `prefect work-pool resume {pool}`"
        queues = self._call("POST", f"/work_pools/{pool}/queues/filter", {}, missing=[])
        paused = [queue["name"] for queue in queues if queue.get("is_paused")]
        if paused:
            return f"work queue {paused[0]} is paused: `prefect work-queue resume {paused[0]} " \
                f"--pool {pool}`"
        silent = self.worker_silence(now, pool) if now else timedelta(0)
        if silent is None or silent > SILENT_WORKER:
            return "no worker gives a sign of life: see `changeover status`"
        return ""

    def runs(self, flows: Sequence[str], state_types: Sequence[str]) -> list[FlowRun]:
        """Return root runs of the deployments `FLOW/main` in the given states.

        Args:
            flows: Names of flows.
            state_types: State types such as `CRASHED`, `RUNNING`, `PAUSED`.
        """
        # a flow that is not deployed has no runs
        ids = {self.deployment_id(f"{flow}/main"): flow for flow in flows}
        wanted = [found for found in ids if found]
        if not wanted:
            return []
        rows = self._call("POST", "/flow_runs/filter", {
            "flow_runs": {
                "deployment_id": {"any_": wanted},
                "state": {"type": {"any_": list(state_types)}},
            },
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": 200,
        })
        return [flow_run(row, ids[row["deployment_id"]]) for row in rows
                if not (owner_in(tags := row.get("tags") or ()) and is_foreign(tags, self.owner()))]

    def run(self, run_id: str) -> FlowRun | None:
        """Return a flow run, or None when there is none with this id."""
        row = self._call("GET", f"/flow_runs/{run_id}", missing=None)
        return flow_run(row, "") if row else None

    def worker_silence(self, now: datetime, pool: str = "") -> timedelta | None:
        """Return since when no worker of a pool gave a sign of life; None when none ever did.

        Args:
            now: The present moment.
            pool: The work pool; by default the one in which flows are deployed.
        """
        pool = pool or self.pool()
        rows = self._call("POST", f"/work_pools/{pool}/workers/filter", {"limit": 50}, missing=[])
        beats = []
        for row in rows:
            if row.get("last_heartbeat_time"):
                beats.append(time_of(row["last_heartbeat_time"]))
        return now - max(beats) if beats else None

    def late_runs(self, now: datetime, late: timedelta, flows: Sequence[str]) -> int:
        """Return how many runs should have begun longer ago than `late`."""
        ids = [self.deployment_id(f"{flow}/main") for flow in flows]
        wanted = [found for found in ids if found]
        if not wanted:
            return 0
        return int(self._call("POST", "/flow_runs/count", {"flow_runs": {
            "deployment_id": {"any_": wanted},
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "next_scheduled_start_time": {"before_": (now - late).isoformat()},
        }}))

    def limit(self, name: str) -> int | None:
        """Return a global concurrency limit; None when there is none that is active."""
        found = self._call("GET", f"/v2/concurrency_limits/{name}", missing=None)
        return int(found["limit"]) if found and found.get("active") else None

    def set_limits(self, limits: Mapping[str, int]) -> None:
        """Make or change global concurrency limits; others stay as they are."""
        for name, limit in limits.items():
            path = f"/v2/concurrency_limits/{name}"
            if self._call("GET", path, missing=None) is None:
                self._call("POST", "/v2/concurrency_limits/", {
                    "name": name, "limit": limit, "active": True, "slot_decay_per_second": 0})
            else:
                self._call("PATCH", path, {"limit": limit, "active": True})

    def schedule(self, run_id: str, *, at: datetime, name: str, message: str) -> None:
        """Put a run into a Scheduled state by force; a worker starts it again at `at`."""
        self._call("POST", f"/flow_runs/{run_id}/set_state", {
            "state": {
                "type": "SCHEDULED", "name": name, "message": message,
                "state_details": {"scheduled_time": at.isoformat()},
            },
            # Prefect's own rules would refuse it: its run is Running or has ended
            "force": True,
        })

    def cancel(self, run_id: str, *, message: str) -> None:
        """Set a run that no process carries out to Cancelled by force."""
        self._call("POST", f"/flow_runs/{run_id}/set_state", {
            "state": {"type": "CANCELLED", "message": message}, "force": True}, missing={})

    def start(
        self, deployment: str, *, parameters: dict[str, Any], key: str | None = None
    ) -> str | None:
        """Create a run of `FLOW/NAME`; the same key gives the same run. None: not deployed."""
        found = self.deployment_id(deployment)
        if found is None:
            return None
        body: dict[str, Any] = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        if key is not None:
            # asked again after a kill or a timeout, Prefect answers with the run that it made first
            # a flow has one list of keys for all databases that use the server
            body["idempotency_key"] = f"{key}-{owner}" if (owner := self.owner()) else key
        path = f"/deployments/{found}/create_flow_run"
        created = self._call("POST", path, body, missing=None)
        if created is None:  # deployed anew under another id
            self.forget_deployments()
            return None
        return str(created["id"])

    def show_table(
        self, key: str, rows: Sequence[Mapping[str, str]], *, description: str,
        flow_run_id: str | None = None,
    ) -> None:
        """Show a table in Prefect's page under a key; the next one of the key takes its place.

        Args:
            key: Small letters, digits and hyphens.
            rows: One mapping of column to text for each row.
            description: What it is.
            flow_run_id: The flow run that it is shown with.
        """
        content = {"data": json.dumps(list(rows)), "description": description}
        # `/artifacts/KEY/latest` answers with the key's id, not with that of its artifact
        found = self._call("POST", "/artifacts/filter", {
            "artifacts": {"key": {"any_": [key]}}, "sort": "CREATED_DESC", "limit": 1})
        # the same run's table is replaced; another run's stays in the history
        if found and found[0].get("flow_run_id") == flow_run_id:
            self._call("PATCH", f"/artifacts/{found[0]['id']}", content, missing={})
            return
        self._call("POST", "/artifacts/", {
            **content, "type": "table", "key": key, "flow_run_id": flow_run_id})

    def emit(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Put events into Prefect's feed; it ignores those whose id it has already."""
        self._call("POST", "/events", list(events))

    def block_id(self, name: str) -> str | None:
        """Return the id of a block called `TYPE/NAME`, or None."""
        kind, _, own = name.partition("/")
        path = f"/block_types/slug/{kind}/block_documents/name/{own}"
        found = self._call("GET", path, missing=None)
        return str(found["id"]) if found else None

    def acts_on_events(self) -> bool:
        """Whether the server's automations act; one that does not say so is believed to."""
        services = self._call("GET", "/admin/settings").get("server", {}).get("services", {})
        return bool(services.get("triggers", {}).get("enabled", True))

    def automation(self, name: str) -> dict[str, Any] | None:
        """Return the automation of a name, or None."""
        query = {"automations": {"name": {"any_": [name]}}, "limit": 1}
        known = self._call("POST", "/automations/filter", query)
        return dict(known[0]) if known else None

    def put_automation(self, document: Mapping[str, Any]) -> bool:
        """Create an automation, or replace the one of its name; return whether it is new."""
        tags = [tag(owner)] if (owner := self.owner()) else []
        made = {**document, "tags": tags}
        if known := self.automation(document["name"]):
            self._call("PUT", f"/automations/{known['id']}", made)
            return False
        self._call("POST", "/automations/", made)
        return True

    def resume(self, run_id: str, answers: dict[str, Any]) -> None:
        """Answer a suspended run's form.

        Raises:
            Refused: The run does not wait, or the form refuses the answers.
        """
        found = self._call("POST", f"/flow_runs/{run_id}/resume", {"run_input": answers})
        if found.get("status") != "ACCEPT":
            details = found.get("details") or {}
            raise Refused(
                f"Prefect did not accept the answer: {details.get('reason', found.get('status'))}",
                where=f"flow run {run_id}",
            )

    def _call(
        self, method: str, path: str, body: Any = None, **missing: Any
    ) -> Any:
        import httpx

        try:
            answer = self._request(method, path, body)
            # a 404 is an answer where the caller says what it means
            if answer.status_code == HTTPStatus.NOT_FOUND and "missing" in missing:
                return missing["missing"]
            answer.raise_for_status()
            return answer.json() if answer.content else {}
        except (httpx.HTTPError, ValueError) as error:
            raise problem(error, method, path, self.url) from error

    def _request(self, method: str, path: str, body: Any) -> httpx.Response:
        """Send a request, again while the server says that its database is busy (503)."""
        deadline = time.monotonic() + self._timeout
        # only 503: every other answer is an answer
        while True:
            answer = self._client.request(method, path, json=body)
            is_busy = answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
            if not is_busy or time.monotonic() > deadline:
                return answer
            time.sleep(BUSY_PAUSE_SECONDS)
