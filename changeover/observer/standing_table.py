"""How the gates of the present stage stand, as a table on Prefect's page while it soaks.

A soaking flow run holds no process, so the observer keeps its table up to date.
"""

from __future__ import annotations

import threading
from typing import Any

from changeover import clock
from changeover.analysis.check_words import (
    evidence_text,
    group_text,
    interval_text,
    outlook_text,
)
from changeover.errors import StoreError, Unreachable
from changeover.observer.throttle import LogOnce
from changeover.plan.conditions import OnFail
from changeover.plan.metrics import format_value, metric_of
from changeover.plan.subsets import in_words
from changeover.site import status
from changeover.site.prefect_api import PrefectApi
from changeover.site.site import Site
from changeover.store import cutovers

SECONDS = 30.0
"""How often the table is brought up to date: people read it, and Prefect stores each."""


class StandingTable:
    """Shows the table of one migration.

    Args:
        site: The migration on this machine.
        api: Prefect's API.
        log: Where problems are logged.
    """

    def __init__(self, site: Site, api: PrefectApi, log: LogOnce) -> None:
        self._site, self._api, self._log = site, api, log
        self._shown: list[dict[str, str]] = []

    def watch(self, stop: threading.Event) -> None:
        """Show it until `stop`; tries again while Prefect is away."""
        while not stop.wait(SECONDS):
            try:
                self.show()
                self._log.fine("table", "the table of the gates is shown again")
            except (Unreachable, StoreError) as error:
                self._log.problem("table", f"the table of the gates is old because {error}")

    def show(self) -> None:
        """Show how the gates stand now; what is shown already costs no request.

        Raises:
            Unreachable: Prefect does not answer.
            StoreError: The store cannot be read.
        """
        site = self._site
        cutover = cutovers.active(site.store, site.migration)
        gates = status.gates(site.store, cutover, now=clock.now()) if cutover else []
        rows = [row_of(gate, check) for gate in gates for check in gate["checks"]]
        if cutover is None or not rows or rows == self._shown:
            return
        stage = gates[0]["stage"]
        # Prefect's keys have small letters, digits and hyphens
        key = f"{site.migration}-now-{stage}".replace("_", "-")
        self._api.show_table(
            key, rows, flow_run_id=cutover.flow_run_id,
            description=f"What the gates of stage {stage} in cutover {cutover.id} would say if its "
            "soak ended now, every 30 s; nothing is decided by it")
        self._shown = rows


def row_of(gate: dict[str, Any], check: dict[str, Any]) -> dict[str, str]:
    """Return a check as a row: what it would say now, its value, interval, evidence, outlook.

    Args:
        gate: What `status.gates` says of its gate.
        check: Its evidence, with `standing`.
    """
    metric = metric_of(check["metric"], check.get("check", {}).get("unit"))
    baseline = "–"
    if check["baseline_samples"] is not None:
        baseline = format_value(metric, check["baseline_value"])
    notes = ["shown only"] if check.get("on_fail") == OnFail.SHOW else []
    notes += [group_text(check)] if "group" in check else []
    notes += ["old"] if gate["is_old"] else []
    standing = f"{check['standing']} ({', '.join(notes)})" if notes else check["standing"]
    return {
        "gate": gate["gate"], "now": standing,
        "check": f"{metric.words} of {check['of']}{in_words(check.get('subset'))}",
        "bound": check["bound"],
        "value": format_value(metric, check["value"]), "baseline": baseline,
        "95 %": interval_text(check), "evidence": evidence_text(check),
        "how much longer": outlook_text(check), "why": check["reason"],
    }
