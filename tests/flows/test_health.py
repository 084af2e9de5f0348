"""The health check as a flow on a real site: findings, history, artifact, limits, repairs."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from changeover import clock
from changeover.store import health_results, heartbeats, repairs
from tests.support.processes import free_port, kill, upstream, wait_for
from tests.support.site import QUICK, Site, site

pytestmark = [pytest.mark.integration]
HEALTH = """\
health:
  services: {{ocr: {{url: "{url}", pair: reading}}, llm: {{url: "{url}", pair: reading}}}}
  limits: {{ai_concurrency_limit: 1}}
  memory: {{warning: 98%, critical: 99%}}
  disk: {{warning: 98%, critical: 99%}}
  repairs: {{limit_drift: {{backoff: 0s}}, console_gone: {{backoff: 0s, within: 3m}}}}
"""


def newest(found: Site) -> dict[str, tuple[str, str]]:
    results = health_results.latest(found.store, "site")
    return {result.check: (result.status, result.detail) for result in results}


def limit(found: Site, value: int | None = None) -> int | None:
    """Return the AI's limit in Prefect, after setting it when a value is given."""
    if value is not None:
        found.api.set_limits({"ai_concurrency_limit": value})
    return found.api.limit("ai_concurrency_limit")


def ends(found: Site, since: datetime) -> set[tuple[str, str]]:
    """Return (issue, status) of the repairs that began since a time and have ended."""
    return {(each.issue, each.status) for each in repairs.newest(found.store, "site")
            if each.started_at >= since and each.ended_at is not None}


def test_a_site_is_looked_at_and_repaired(tmp_path: Path) -> None:
    """What is well is Healthy; a changed limit and a frozen service are put right."""
    port = free_port()
    text = QUICK + HEALTH.format(url=f"http://127.0.0.1:{port}")
    with upstream("service", port, tmp_path) as service, \
            site(tmp_path, text, is_examined=True) as found:
        assert limit(found) == 1  # kept by `changeover up`
        wait_for(lambda: found.examine()["state_name"] in ("Healthy", "Warning"), seconds=60,
                 what="a site that is well")
        assert {"services reading", "limits", "shadow", "prefect", "gateway", "observer",
                "baseline", "candidate", "console"} <= set(newest(found))
        assert _artifact(found)[0]["check"] in newest(found)

        before = clock.now()
        limit(found, 7)
        frozen = found.pid("console")
        os.kill(frozen, signal.SIGSTOP)
        kill(service)
        wait_for(lambda: found.examine()["state_name"] == "Critical", what="the dead service")
        status, detail = newest(found)["services reading"]
        assert status == "critical" and "does not answer" in detail

        wait_for(lambda: _is_silent(found), seconds=60, what="silence of the console")
        found.examine()
        wait_for(lambda: {("limit_drift", "done"), ("console_gone", "done")} <= ends(found, before),
                 seconds=90, what="the repairs")
        assert limit(found) == 1
        assert found.pid("console") != frozen
        history = health_results.since(found.store, "site", since=clock.from_timestamp(0))
        assert len({result.at for result in history}) >= 3


def _is_silent(found: Site) -> bool:
    beats = {beat.service: beat.at for beat in heartbeats.of(found.store, "site")}
    return (clock.now() - beats["console"]).total_seconds() > 21


def _artifact(found: Site) -> list[dict[str, str]]:
    def newest() -> list[dict[str, str]]:
        rows = httpx.post(f"{found.api.url}/artifacts/latest/filter", timeout=60, json={
            "artifacts": {"key": {"any_": ["site-health"]}}}).raise_for_status().json()
        table: list[dict[str, str]] = json.loads(rows[0]["data"])
        return table

    return wait_for(newest, what="the artifact")  # type: ignore[return-value]
