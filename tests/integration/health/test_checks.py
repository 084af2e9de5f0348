"""Every health check against the real thing: well, not well, and gone."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from changeover import clock
from changeover.checks.health.checks import checks_of, examine
from changeover.checks.health.result import Health
from changeover.domain.audit import Author
from changeover.domain.health import SILENT_AFTER, Status
from changeover.domain.routing import Change, Mode
from changeover.plan.health import Issue
from changeover.site import service_status
from changeover.site.site import Site
from changeover.store import heartbeats, messages, routing
from tasks.health import notify_of_bad
from tests.integration.health.conftest import Figures, Place, look
from tests.integration.health.tls import tls_server
from tests.support.processes import LONGEST_PAUSE, free_port, kill, wait_for

pytestmark = [pytest.mark.integration]

OBSERVER, SHADOW = (heartbeats.service_of("bench", name) for name in ("observer", "shadow"))


def said(found: Health, status: Status, part: str, issue: str | None = None) -> None:
    """A finding has a status, says a part of a sentence, and names its issue."""
    assert (found.status, found.issue) == (status, issue), found
    assert part in found.detail, found


def becomes(site: Site, name: str, status: Status, part: str, issue: str | None = None) -> None:
    """A check says this once nobody whom it asks is paused."""
    def found() -> Health | None:
        health = look(site, name)
        return health if health.status is status and part in health.detail else None

    said(wait_for(found, what=f"{name}: {part}"), status, part, issue)


def test_every_migration_has_the_checks_it_stands_on(place: Place, tmp_path: Path) -> None:
    """Without a word in the plan: memory, disk, home, both systems, gateway, observer, Prefect."""
    site, _ = place()

    def examined() -> dict[str, Health] | None:
        heartbeats.beat(site.store, OBSERVER, pid=1, now=clock.now())
        found = examine(checks_of(site), within=LONGEST_PAUSE)
        return found if found["gateway"].status is Status.HEALTHY else None

    found: dict[str, Health] = wait_for(examined, what="the gateway")  # type: ignore[assignment]
    assert set(found) == {"memory", "disk", "home", "gateway", "observer", "prefect", "baseline",
                          "candidate"}
    said(found.pop("prefect"), Status.CRITICAL, "server does not answer")
    assert all(h.status in (Status.HEALTHY, Status.WARNING) for h in found.values()), found


def test_settings_that_cannot_be_read_hide_no_other_check(place: Place) -> None:
    """A broken run.json is a finding of its own."""
    site, _ = place(health={"folders": {"data": "."}})
    (site.home.root / "run.json").write_text("{")
    found = examine(checks_of(site), within=LONGEST_PAUSE)
    said(found["settings"], Status.ERROR, "cannot be read")
    assert found["candidate"].status is Status.HEALTHY
    assert found["prefect"].status is Status.ERROR


def test_levels_are_the_plans(place: Place) -> None:
    """With levels that every machine exceeds, memory and disk are critical."""
    site, _ = place(health={"memory": {"warning": "0.01%", "critical": "0.02%"},
                               "disk": {"warning": "0.01%", "critical": "0.02%"}})
    said(look(site, "memory"), Status.CRITICAL, "memory", "memory_pressure")
    said(look(site, "disk"), Status.CRITICAL, "% used", "disk_full")


def test_what_gets_scarce_is_a_warning_before_it_is_critical(place: Place) -> None:
    """A message each, and none about what is well or was repaired."""
    site, _ = place(notify=[{"webhook": "http://127.0.0.1:9/"}])
    scarce = Health(Status.WARNING, "memory 86 % used", {}, Issue.MEMORY_PRESSURE)
    ill = Health(Status.UNHEALTHY, "latency 5001 is above 5000 ms", {}, Issue.NODE_FAILURE)
    found = {"memory": scarce, "node a": ill, "node b": ill,
             "disk": Health(Status.CRITICAL, "full"), "home": Health(Status.WARNING, "slow")}
    notify_of_bad(site, found | {"node b": replace(ill, status=Status.WARNING)},
                  {"node b": "repaired node_failure of candidate in attempt 1"})
    told = {each.title.partition(": ")[2]: each.severity
            for each in messages.newest(site.store, "bench")}
    assert told == {"memory": "warning", "node a": "warning", "disk": "critical"}


def test_folder_must_be_writable(place: Place, tmp_path: Path) -> None:
    """Relative to the plan; one that is missing is critical, and none of our repairs."""
    site, _ = place(health={"folders": {"data": "data"}})
    said(look(site, "folder data"), Status.CRITICAL, "No such file or directory")
    (tmp_path / "data").mkdir()
    said(look(site, "folder data"), Status.HEALTHY, "is writable")
    assert list((tmp_path / "data").iterdir()) == []


def test_systems_are_asked_for_their_health(place: Place) -> None:
    """503 is unhealthy, no answer critical."""
    site, bench = place()
    said(look(site, "candidate"), Status.HEALTHY, "new answers 200")
    bench.fault("503")
    said(look(site, "candidate"), Status.UNHEALTHY, "answers 503", "service_down")
    kill(bench.processes["candidate"])
    said(look(site, "candidate"), Status.CRITICAL, "does not answer", "service_down")
    assert look(site, "candidate").system == "candidate"


NODE = {"of": "candidate", "path": "/nodes/ocr", "latency": "$.latency_ms",
        "success_rate": "$.success", "queue": "$.queue", "longest_queue": 10}
LIVELY = {**NODE, "memory": "$.mb", "most_memory": "50MB", "last_execution": "$.last"}
WELL = {"latency_ms": 80, "success": 1, "queue": 0, "mb": 4.5, "last": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(("figures_", "status", "part"), [
    ({"latency_ms": 80, "success": 0.99, "queue": 3}, Status.HEALTHY, "latency 80"),
    ({"latency_ms": 5001, "success": 0.99, "queue": 3}, Status.UNHEALTHY, "above 5000 ms"),
    ({"latency_ms": 80, "success": 0.9, "queue": 11}, Status.UNHEALTHY, "queue 11 is above 10"),
    ({"latency_ms": 80, "success": None, "queue": 3}, Status.UNHEALTHY, "no number at $.success"),
    ({"latency_ms": float("nan"), "success": 1, "queue": 3}, Status.UNHEALTHY, "no number"),
    ({"latency_ms": True, "success": 1, "queue": 3}, Status.UNHEALTHY, "no number"),
])
def test_nodes_are_judged_by_their_figures(
    place: Place, figures: Figures, figures_: dict[str, object], status: Status, part: str
) -> None:
    """Latency, success rate and queue, each against the plan; what is no number is no success."""
    site, _ = place(health={"nodes": {"ocr": NODE}}, systems={
        "baseline": {"name": "old", "url": f"http://127.0.0.1:{free_port()}"},
        "candidate": {"name": "new", "url": f"http://127.0.0.1:{free_port()}"}})
    system = site.plan.systems.candidate.model_copy(update={"url": figures.url})
    plan = site.plan.model_copy(update={
        "systems": site.plan.systems.model_copy(update={"candidate": system})})
    figures.answers["/nodes/ocr"] = (200, figures_)
    becomes(Site(site.home, plan, site.store), "node ocr", status, part,
            None if status is Status.HEALTHY else "node_failure")


@pytest.mark.parametrize(("changed", "status", "part"), [
    ({}, Status.HEALTHY, "memory 4.5, idle"),
    ({"mb": 50.1}, Status.UNHEALTHY, "memory 50.1 is above 50 MB"),
    ({"queue": 2}, Status.UNHEALTHY, "s while tasks wait"),
    ({"queue": 2, "last": 4e9}, Status.HEALTHY, "queue 2, memory 4.5, idle 0"),
    ({"queue": 2, "last": "lately"}, Status.UNHEALTHY, "last execution: no time at $.last"),
    ({"mb": "much"}, Status.UNHEALTHY, "memory: no number at $.mb"),
])
def test_nodes_are_judged_by_their_memory_and_their_last_execution(
    place: Place, figures: Figures, changed: dict[str, object], status: Status, part: str
) -> None:
    """A node that executes nothing is dead only while tasks wait for it."""
    site, _ = place(health={"nodes": {"ocr": LIVELY}}, systems={
        "baseline": {"name": "old", "url": f"http://127.0.0.1:{free_port()}"},
        "candidate": {"name": "new", "url": f"http://127.0.0.1:{free_port()}"}})
    system = site.plan.systems.candidate.model_copy(update={"url": figures.url})
    plan = site.plan.model_copy(update={
        "systems": site.plan.systems.model_copy(update={"candidate": system})})
    figures.answers["/nodes/ocr"] = (200, {**WELL, **changed})
    becomes(Site(site.home, plan, site.store), "node ocr", status, part,
            None if status is Status.HEALTHY else "node_failure")


def test_services_of_a_pair_are_well_together(place: Place, figures: Figures) -> None:
    """OCR well and LLM not: the pair is not well, and says which of the two."""
    services = {name: {"url": figures.url, "path": f"/{name}", "pair": "reading", "slow": "60s",
                       "timeout": "60s"} for name in ("ocr", "llm")}
    site, _ = place(health={"services": services})
    said(look(site, "services reading"), Status.HEALTHY, "ocr answers")
    figures.answers["/llm"] = (503, {})
    found = look(site, "services reading")
    said(found, Status.UNHEALTHY, "llm answers 503", "service_down")
    assert found.system == "llm"
    assert found.data == {"ocr": "healthy", "llm": "unhealthy"}


def test_gateway_must_serve_the_routing_state(place: Place) -> None:
    """Another version is drift; back-pressure is a warning, withheld users without it are drift."""
    site, bench = place()
    state = routing.change(
        site.store, "bench", Change(mode=Mode.GRADUAL, weight=5000), Author("test", "test"),
        now=clock.now())
    if state.order == wait_for(bench.gateway.served):
        state = routing.change(
            site.store, "bench", Change(weight=6000), Author("test", "test"), now=clock.now())
    becomes(site, "gateway", Status.CRITICAL, "the routing state is", "gateway_drift")
    bench.gateway.publish(site.plan, state)
    becomes(site, "gateway", Status.HEALTHY, "serves gradual")
    withheld = {"withheld": True, "reason": "slower than 200 ms"}
    wait_for(lambda: bench.gateway.withhold(site.plan, state, withheld), what="withheld routes")
    becomes(site, "gateway", Status.WARNING, "back-pressure")
    bench.gateway.files.back_pressure.unlink()
    becomes(site, "gateway", Status.UNHEALTHY, "unlike back-pressure", "gateway_drift")
    kill(bench.processes["envoy"])
    said(look(site, "gateway"), Status.CRITICAL, "does not answer", "gateway_drift")


def test_a_silent_observer_and_shadow_are_found(place: Place) -> None:
    """Older than 20 s, or never there."""
    site, _ = place(shadow={"sample": "10%"})
    said(look(site, "shadow"), Status.UNHEALTHY, "never sent a heartbeat", "shadow_gone")
    heartbeats.beat(site.store, OBSERVER, pid=1, now=clock.now() - 2 * SILENT_AFTER)
    said(look(site, "observer"), Status.CRITICAL, "sent its last heartbeat at", "observer_gone")
    site.home.save_settings({"console_url": "http://127.0.0.1:1"})
    said(look(site, "console"), Status.UNHEALTHY, "never sent a heartbeat", "console_gone")


def test_a_process_that_does_not_compare_is_a_warning(place: Place) -> None:
    """The others go on, and the service starts it again; people see that it is missing."""
    site, _ = place(shadow={"sample": "10%", "processes": 2})
    for said_of_it, status in (
            ("2 of 2", Status.HEALTHY), ("1 of 2", Status.WARNING), ("0 of 2", Status.UNHEALTHY)):
        detail = f"{said_of_it} processes compare"
        heartbeats.beat(site.store, SHADOW, pid=1, detail=detail, now=clock.now())
        said(look(site, "shadow"), status, f"the shadow is alive, {detail}")
        told = service_status.collect(site.store, "bench", clock.now())
        (line,) = (each for each in service_status.lines(told) if each.startswith("shadow: "))
        assert line.endswith(f" s ago, {detail}")


def test_a_silent_load_service_is_a_warning_where_the_plan_has_load(place: Place) -> None:
    """No user misses it, and the supervisor starts it again."""
    hooks = {"during": [{"load": "steady"}]}
    site, _ = place(
        suites={"steady": [{"kind": "load", "rates": [1]}]},
        phases=[{"phase": "gradual", "stages": [{"percent": 50, "soak": 0, "hooks": hooks}]}])
    said(look(site, "load"), Status.WARNING, "never sent a heartbeat")
    own = heartbeats.service_of("bench", "load")
    heartbeats.beat(site.store, own, pid=1, now=clock.now())
    said(look(site, "load"), Status.HEALTHY, "the load is alive")


def test_what_was_just_started_or_goes_last_is_not_started_again(place: Place) -> None:
    """A process gets its time to begin; the shadow is silent for long on a busy machine."""
    site, _ = place(shadow={"sample": "10%"})
    heartbeats.beat(site.store, SHADOW, pid=1, now=clock.now() - 2 * SILENT_AFTER)
    said(look(site, "shadow"), Status.WARNING, "gets the processor last on a busy machine")
    heartbeats.beat(site.store, SHADOW, pid=1, now=clock.now() - 5 * SILENT_AFTER)
    said(look(site, "shadow"), Status.UNHEALTHY, "sent its last heartbeat at", "shadow_gone")
    just = {"shadow": {"pid": 1, "created": clock.now().timestamp()}}
    site.home.save_settings({"processes": just})
    said(look(site, "shadow"), Status.UNHEALTHY, "it was started at")


def test_memory_of_named_processes_has_a_red_line(place: Place, tmp_path: Path) -> None:
    """A system's, or the one in a file; an unknown process is an error, never well."""
    process = {"command": ["true"]}
    site, bench = place(health={"memory_limits": {
        "ample": {"limit": "4GiB"}, "tight": {"limit": "1MB"},
        "named": {"limit": "1MB", "pid_file": "ocr.pid"}}})
    systems = site.plan.systems
    candidate = type(systems.candidate).model_validate(
        {**systems.candidate.model_dump(mode="json"), "process": process})
    plan = site.plan.model_copy(
        update={"systems": systems.model_copy(update={"candidate": candidate})})
    site = Site(site.home, plan, site.store)
    said(look(site, "memory of ample"), Status.HEALTHY, "of at most 4.29 GB")
    said(look(site, "memory of tight"), Status.CRITICAL, "of at most", "memory_pressure")
    said(look(site, "memory of named"), Status.ERROR, "ocr.pid is not known")
    (tmp_path / "ocr.pid").write_text(str(bench.processes["baseline"].pid))
    said(look(site, "memory of named"), Status.CRITICAL, "of at most", "memory_pressure")


def test_sqlite_database_is_looked_at(place: Place, tmp_path: Path) -> None:
    """Missing, at another migration, locked by another process; the look never makes it."""
    spec = {"database": {"url": "sqlite:///shop.db"}, "revision": "7", "lock_wait": "300ms"}
    site, _ = place(health={"databases": {"shop": spec}})
    said(look(site, "database shop"), Status.CRITICAL, "is not there", "service_down")
    path = tmp_path / "shop.db"
    assert not path.exists()
    with sqlite3.connect(path) as connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values ('6')")
    said(look(site, "database shop"), Status.UNHEALTHY, "at migration 6, not 7")
    with sqlite3.connect(path) as connection:
        connection.execute("update alembic_version set version_num = '7'")
    said(look(site, "database shop"), Status.HEALTHY, "answers")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("begin immediate")
    said(look(site, "database shop"), Status.CRITICAL, "a lock was not granted", "database_lock")
    holder.execute("rollback")
    holder.close()


@pytest.mark.postgres
def test_postgres_database_is_looked_at(place: Place, postgres_url: str) -> None:
    """A connection that waits for a lock too long is a warning with an issue."""
    url = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    site, _ = place(health={"databases": {"shop": {
        "database": {"url": postgres_url}, "lock_wait": "200ms"}}})
    becomes(site, "database shop", Status.HEALTHY, "answers")
    engine = create_engine(url)
    with engine.begin() as setup:
        setup.execute(text("create table busy (id int)"))
    with engine.connect() as holder:
        holder.execute(text("lock table busy"))
        waiter = threading.Thread(target=lambda: _select(url))
        waiter.start()
        becomes(site, "database shop", Status.WARNING, "1 connections wait for a lock",
                "database_lock")
    waiter.join(LONGEST_PAUSE)
    engine.dispose()


def _select(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("select * from busy"))
    engine.dispose()


@pytest.mark.parametrize(("days", "status"), [
    (90, Status.HEALTHY), (20, Status.WARNING), (3, Status.CRITICAL)])
def test_certificates_are_told_of_before_they_end(
    place: Place, tmp_path: Path, days: int, status: Status
) -> None:
    """30 days a warning, 7 critical; one that is not trusted is critical."""
    with tls_server(tmp_path, days) as (address, authority):
        site, _ = place(health={"certificates": {
            "api": {"address": address, "ca_file": str(authority)},
            "stranger": {"address": address}}})
        issue = None if status is Status.HEALTHY else "certificate_expiry"
        becomes(site, "certificate api", status, "valid for", issue)
        becomes(site, "certificate stranger", Status.CRITICAL, "is not trusted",
                "certificate_expiry")


def test_findings_can_be_kept(place: Place) -> None:
    """Whatever a check finds is JSON."""
    site, _ = place()
    for found in examine(checks_of(site)).values():
        json.dumps(found.data)


def test_openssl_is_there() -> None:
    """The certificates of these tests are real ones."""
    assert subprocess.run(["openssl", "version"], check=True, capture_output=True).stdout
