"""A real Prometheus reads a real console of a site with traffic: every panel, every alert."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from changeover import clock
from changeover.domain.comparisons import Compared, Example
from changeover.domain.routing import Mode
from changeover.domain.tokens import Scope
from changeover.procedures.traffic import publish
from changeover.store import comparisons, cutovers
from docs.monitoring.dashboards import expression
from docs.monitoring.panels import DASHBOARDS
from tests.integration.console.conftest import Served
from tests.integration.observer.conftest import ERRORS, Start, Watched
from tests.support.processes import LONGEST_PAUSE, free_port, running, wait_for

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[3] / "docs" / "monitoring"
MAY_BE_EMPTY = {
    "Waits since": "nobody is asked", "Alerts that fire": "nothing is wrong",
    "Way back": "nothing made the baseline smaller", "Firings of 24 hours": "nothing fired",
    "Refused by the gateway": "it refused nothing", "Guardrails": "judged at the soak's end",
    "Memory": "no process is watched", "Processors": "no process is watched",
    "How much longer": "everything may be decided", "Evidence of harm": "may need more users",
    "Evidence of health": "may need more users", "Error budgets": "the plan has none",
    "Interval of the value, 95 %": "may need more users",
    "Gateway nodes": "one gateway", "What gateway nodes serve": "one gateway",
    "Without a key": "everybody has one", "Processes that compare": "nothing is compared here",
    **dict.fromkeys((
        "Routes on the candidate", "Requests of routes", "Requests of routes that a system failed",
        "Users of routes who see an error", "Duration by route, 95 %"), "the plan has none"),
}
"""Panels without series on a healthy site, and why."""
ALLOWED_NOW = {"ChangeoverAnswersRegress", "ChangeoverMatchRatioFalls"}
"""Alerts that this site's comparisons may raise."""


@dataclass
class Prometheus:
    """A Prometheus server that scrapes the console each second."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=LONGEST_PAUSE)
        return answer.raise_for_status().json()["data"]

    def query(self, query: str) -> list[Any]:
        found: list[Any] = self.ask("query", query=query)["result"]
        return found


def configured(folder: Path, console: Served) -> Path:
    """Write the configuration of the page, for a server that is faster and elsewhere."""
    page = (FOLDER / "README.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    document = yaml.safe_load(example)
    (job,) = document["scrape_configs"]
    token = Path(job["authorization"]["credentials_file"])
    job["authorization"]["credentials_file"] = str(folder / token.name)
    (folder / token.name).write_text(console.token(Scope.READ))
    job["static_configs"] = [{"targets": [f"127.0.0.1:{console.port}"]}]
    # the page's own interval is longer than a test has
    job["scrape_interval"] = "1s"
    document["global"] = {"evaluation_interval": "1s"}
    document["rule_files"] = [str(FOLDER / "alerts.yml")]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(document))
    return path


@contextlib.contextmanager
def scraping(folder: Path, console: Served) -> Iterator[Prometheus]:
    """Run Prometheus with the page's configuration."""
    port = free_port()
    command = ["prometheus", f"--config.file={configured(folder, console)}",
               f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    found = Prometheus(f"http://127.0.0.1:{port}")
    with running(command, folder / "prometheus.log"):
        wait_for(lambda: found.query("changeover_build_info"), seconds=30, what="a scrape")
        yield found


def soaking(start: Start) -> Watched:
    """A migration whose stage of half of the users soaks, with checks and triggers of each kind."""
    checks = [{"metric": "error_rate", "below": "5%", "min_samples": 5},
              {"metric": "error_rate", "ratio_to_baseline": 2}]
    off = {name: {"off": "this is about what is shown"} for name in ("errors", "down")}
    watched = start(
        {**ERRORS, "action": "alert"}, gates={"slo": checks}, guardrails=off,
        flags={"new_parser": False},
        phases=[{"phase": "gradual", "gates": ["slo"], "stages": [{"percent": 50, "soak": "2h"}]}])
    cutover = cutovers.begin(watched.store, "bench", flow_run_id="a", now=clock.now())
    state = watched.move(Mode.GRADUAL, 5000)
    cutovers.enter_stage(
        watched.store, cutover.id, watched.plan.stages()[0], now=clock.now())
    publish(watched.site(), state)
    example = Example("GET /", "$.total", "changed", "1", "2")
    found = [Compared(clock.now(), "GET /", str(number), 0.9, number > 0, 0.01, 0.01,
                      {"$.total": example} if number == 0 else {}) for number in range(5)]
    comparisons.write(watched.store, "bench", found, {"seen": 5}, now=clock.now())
    return watched


def use(console: Served) -> None:
    """Claim an item, and report an outcome of each system."""
    with httpx.Client(base_url=console.url, timeout=LONGEST_PAUSE, trust_env=False, headers={
            "authorization": f"Bearer {console.token()}"}) as client:
        client.post("/v1/claims/order-1", json={"system": "baseline", "holder": "w"})
        for system in ("baseline", "candidate"):
            client.post("/v1/outcomes", json={
                "id": f"{system}-{clock.now()}"[:40].replace(" ", "T"), "system": system,
                "success": True, "seconds": 0.5, "quality": {"confidence": 0.9},
            }).raise_for_status()


def asked(query: str) -> str:
    """Return a panel's query as Grafana sends it."""
    return (expression(query).replace("$migration", "bench")
            .replace("$__rate_interval", "15s"))


def test_every_panel_and_every_alert_works_on_a_real_site(start: Start, tmp_path: Path) -> None:
    """What must be there is there, nothing is a wrong query, and a healthy site raises nothing."""
    watched = soaking(start)
    folder = tmp_path / "prometheus"
    folder.mkdir()
    console = Served(watched.home, watched.plan, watched.store, watched.stack)
    console.start()
    with scraping(folder, console) as prometheus, watched.load():
        use(console)
        empty: list[str] = []

        def answers() -> bool:
            use(console)
            empty[:] = unanswered(prometheus)
            return not empty

        with contextlib.suppress(AssertionError):
            wait_for(answers, seconds=60, what="all panels")
        assert empty == []
        names = prometheus.ask(
            "label/migration/values", **{"match[]": "changeover_migration_info"})
        assert names == ["bench"]
        (group,) = wait_for(
            lambda: evaluated(prometheus), seconds=30, what="rules")  # type: ignore[misc]
    fires = set()
    for rule in group["rules"]:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]
        if rule["state"] == "firing":
            fires.add(rule["name"])
    assert fires <= ALLOWED_NOW


def unanswered(prometheus: Prometheus) -> list[str]:
    """Return the panels without an answer that should have one."""
    found = []
    for board in DASHBOARDS:
        for row in board.rows:
            for panel in row.panels:
                series = [prometheus.query(asked(query)) for query, _ in panel.queries]
                if not any(series) and panel.title not in MAY_BE_EMPTY:
                    found.append(f"{board.name}: {panel.title}")
    return found


def evaluated(prometheus: Prometheus) -> list[Any] | None:
    """Return the groups of rules once all were evaluated."""
    groups: list[Any] = prometheus.ask("rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return groups if rules and all(rule["health"] != "unknown" for rule in rules) else None
