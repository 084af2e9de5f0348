"""The real Prometheus server, which scrapes a real exporter: what it says, and when it does not."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from changeover.cli.main import cli
from changeover.domain.readings import Reading
from tests.support.external import asked
from tests.support.processes import LONGEST_PAUSE, free_port, running, wait_for

pytestmark = pytest.mark.integration

PASSWORD = "s3cret-pass"
HASHED = "$2b$04$Vr/lnPfAq4sY.OcZu5qLXOKra51sbeKzmZ.mdiEnuFe2M12mHfVjC"
ODD = 'shop "two" \\ {v}.2'
"""A system's name with everything that PromQL gives a meaning."""


@dataclass
class Server:
    """A Prometheus server with basic authentication, and what it scrapes."""

    url: str
    folder: Path

    def source(self, **changes: Any) -> dict[str, Any]:
        return {"kind": "prometheus", "url": self.url, "auth": {"basic": "PROM_LOGIN"},
                "timeout": "30s", "names": {"candidate": ODD}, **changes}

    def ask(
        self, query: str, source: dict[str, Any] | None = None, *, window: int = 60, **metric: Any
    ) -> Reading:
        whole = {**self.source(), **(source or {})}
        return asked(whole, {"query": query, **metric}, self.folder, window=window)


@pytest.fixture(autouse=True)
def _login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROM_LOGIN", f"changeover:{PASSWORD}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has scraped its exporter for some seconds."""
    folder = tmp_path_factory.mktemp("prometheus")
    registry = CollectorRegistry()
    failed = Gauge("failed_share", "Failed payments.", ["system", "segment"], registry=registry)
    failed.labels(ODD, "").set(0.25)
    failed.labels("baseline", "").set(0.125)
    failed.labels(ODD, "beta").set(0.5)
    for name, value in (("nan", "nan"), ("inf", "inf")):
        Gauge(f"is_{name}", "Not finite.", registry=registry).set(float(value))
    Counter("orders", "Orders.", ["system"], registry=registry).labels(ODD).inc(7)
    exporter, thread = start_http_server(0, "127.0.0.1", registry)
    port = free_port()
    (folder / "web.yml").write_text(json.dumps({"basic_auth_users": {"changeover": HASHED}}))
    (folder / "prometheus.yml").write_text(json.dumps({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "shop", "static_configs": [
            {"targets": [f"127.0.0.1:{exporter.server_port}"]}]}]}))
    leave_behind(folder)
    command = ["prometheus", f"--config.file={folder}/prometheus.yml",
               f"--storage.tsdb.path={folder}/data", f"--web.config.file={folder}/web.yml",
               f"--web.listen-address=127.0.0.1:{port}"]
    found = Server(f"http://127.0.0.1:{port}", folder)
    with running(command, folder / "prometheus.log"):
        wait_for(lambda: httpx.get(
            f"{found.url}/api/v1/query", params={"query": "count_over_time(orders_total[1m]) > 2"},
            auth=("changeover", PASSWORD), timeout=LONGEST_PAUSE).json()["data"]["result"],
            seconds=30, what="three scrapes")
        yield found
    exporter.shutdown()
    thread.join()
    exporter.server_close()


def leave_behind(folder: Path) -> None:
    """Have the server know a series whose last sample is a minute old."""
    text = f"# TYPE left_behind gauge\nleft_behind 1 {int(time.time()) - 60}\n# EOF\n"
    (folder / "old.txt").write_text(text)
    subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics",
                    folder / "old.txt", folder / "data"], check=True, capture_output=True)


def test_a_value_of_each_system_is_read(server: Server) -> None:
    """Whatever the systems are called; each placeholder stands for its value."""
    query = 'failed_share{system="{system}", segment=""}'
    candidate = server.ask(query)
    assert (candidate.value, candidate.samples, candidate.problem) == (0.25, 1, "")
    assert candidate.query == (
        'failed_share{system="shop \\"two\\" \\\\ {v}.2", segment=""}')
    baseline = asked(server.source(), {"query": query}, server.folder, system="baseline")
    assert baseline.value == 0.125
    regex = server.ask('sum(failed_share{system=~"{system}|x", segment!="beta"})')
    assert regex.value == 0.25
    beta = asked(server.source(), {"query": 'sum(failed_share{segment="{segment}"})'},
                 server.folder, segment="beta")
    assert beta.value == 0.5


def test_scalars_windows_samples_and_times_are_read(server: Server) -> None:
    """Everything that a metric may ask for."""
    assert server.ask("scalar(vector(3)) * 2").value == 6
    found = server.ask(
        'max(failed_share) * 100', factor=0.01, unit="share",
        samples="sum(count_over_time(failed_share[{window}]))",
        at="max(timestamp(failed_share))")
    assert found.value == 0.5
    assert found.samples >= 9
    assert found.measured_at is not None
    assert found.measured_at <= found.answered_at


@pytest.mark.parametrize(("take", "value"), [("max", 0.25), ("min", 0.25), ("last", 0.25)])
def test_a_range_is_taken_together(server: Server, take: str, value: float) -> None:
    """Of all points of the window."""
    found = server.ask('failed_share{system="{system}",segment=""}',
                       range={"step": "1s", "take": take})
    assert (found.value, found.problem) == (value, "")


def test_a_sum_of_a_range_has_every_point(server: Server) -> None:
    """A point for each step."""
    found = asked(server.source(), {"query": "vector(1)", "range": {"step": "1s", "take": "sum"}},
                  server.folder, window=20)
    assert found.value == 21


@pytest.mark.parametrize(("query", "said"), [
    ("nothing_here", "finds nothing: no series fits"),
    ("failed_share", "finds 3 series, such as {'__name__'"),
    ("is_nan", "is NaN"), ("is_inf", "is infinite"), ("0 / is_inf * is_inf", "is NaN"),
    ("failed_share[1m]", "is a matrix, not one number"),
    ('"text"', "is a string, not one number"),
    ("sum(", "it answered 400: "), ("rate(failed_share)", "expected type range vector"),
])
def test_what_is_not_one_finite_number_is_no_value(
    server: Server, query: str, said: str
) -> None:
    """The reason says what to mend."""
    found = server.ask(query)
    assert found.value is None
    assert said in found.problem


def test_a_nan_anywhere_in_a_range_is_no_value(server: Server) -> None:
    """A mean of the rest would hide it."""
    found = server.ask("is_nan", range={"step": "1s", "take": "last"})
    assert "points of the range are NaN or infinite" in found.problem


@pytest.mark.parametrize("query", [
    "left_behind", "sum(left_behind) + max(failed_share)", "max_over_time(left_behind[10m])",
    'sum by (job) (count_over_time({__name__="left_behind"}[{window}]))'])
def test_a_series_that_nobody_writes_any_more_is_stale(server: Server, query: str) -> None:
    """Prometheus shows it for five minutes, and for as long as a range is."""
    found = server.ask(query, {"max_age": "20s"}, window=1200)
    assert "its value is stale: it is of" in found.problem
    assert "max_age is 20 s" in found.problem
    later = server.ask(query, {"max_age": "10m"}, window=1200)
    assert later.problem == ""
    assert later.measured_at is not None
    assert (later.answered_at - later.measured_at).total_seconds() > 50


@pytest.mark.parametrize("query", [
    "max(failed_share) and on () (left_behind offset 1m)", "vector(1)",
    "max(failed_share) or nothing_here", "max(failed_share offset 1s)"])
def test_what_is_old_on_purpose_is_not_stale(server: Server, query: str) -> None:
    """An offset says so itself, and what was never there has no age."""
    assert server.ask(query).problem == ""


def test_a_query_may_say_itself_when_the_value_was_measured(server: Server) -> None:
    """For instance what a batch job exported once."""
    old = server.ask("vector(1)", at="vector(time() - 200)")
    assert "stale" in old.problem
    assert server.ask("vector(1)", {"max_age": "5m"}, at="vector(time() - 200)").value == 1


@pytest.mark.parametrize("login", [f"changeover:wrong{PASSWORD}", f"somebody:{PASSWORD}"])
def test_wrong_credentials_are_no_value_and_shown_nowhere(
    server: Server, login: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """401 is not asked again: it would lock accounts."""
    monkeypatch.setenv("PROM_LOGIN", login)
    found = server.ask("vector(1)")
    assert found.problem == "it answered 401"
    assert PASSWORD not in repr(found)


def test_missing_credentials_are_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable's name."""
    monkeypatch.delenv("PROM_LOGIN")
    assert "variable PROM_LOGIN is not set" in server.ask("vector(1)").problem
    monkeypatch.setenv("PROM_LOGIN", "no-colon-s3cret")
    found = server.ask("vector(1)")
    assert found.problem == "the variable PROM_LOGIN must be `user:password`"


def test_every_source_can_be_asked_before_the_night(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`plan check --sources` shows the value of each system, or why there is none."""
    document = {
        "migration": "moving",
        "systems": {name: {"name": name, "url": f"http://127.0.0.1:{free_port()}"}
                    for name in ("baseline", "candidate")},
        "sources": {"prom": server.source(metrics={
            "failed": {"query": 'max(failed_share{system="{system}"})', "unit": "share"},
            "unread": {"query": "nothing_here"}})},
        "gates": {"slo": [{"metric": "external.failed", "ratio_to_baseline": 1.5}]},
        "phases": [{"phase": "gradual", "gates": ["slo"],
                    "stages": [{"percent": 50, "soak": "10m"}]}]}
    plan = tmp_path / "plan.yaml"
    plan.write_text(json.dumps(document))
    arguments = ["plan", "check", str(plan), "--sources"]
    done = CliRunner().invoke(cli, arguments, standalone_mode=False)
    assert (done.return_value, done.exception) == (1, None), done.output
    assert "external.failed of candidate over 600 s: 50.000 % after" in done.output
    assert "external.failed of baseline over 600 s: 12.500 % after" in done.output
    assert "external.unread of candidate over 300 s: NO VALUE, the query finds nothing" \
        in done.output
    assert PASSWORD not in done.output
    del document["sources"]["prom"]["metrics"]["unread"]
    plan.write_text(json.dumps(document))
    assert CliRunner().invoke(cli, arguments, standalone_mode=False).return_value == 0
