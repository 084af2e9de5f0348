"""`/metrics` of a full migration: valid, bounded, quick, and in nobody's way."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from changeover import clock
from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Measurements, Sample
from changeover.console import reading
from changeover.console.context import Console
from changeover.console.exposition import Meter
from changeover.console.exposition import meter as meters
from changeover.console.exposition.catalogue import FAMILIES
from changeover.domain.comparisons import Compared, Example
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import Stands, TriggerStanding
from changeover.domain.rollout import Approval, GateVerdict, Standing
from changeover.domain.routing import Mode
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import (
    approvals,
    comparisons,
    cutovers,
    plans,
    publications,
    samples,
    standings,
    trigger_standings,
    verdicts,
)
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Serve, Served, metrics_of
from tests.support.processes import wait_for
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration

CHECKS, TRIGGERS, PLACES, REASONS = 50, 20, 500, 300
COMPARED = (("result", "divergence"),)
OF_ORDERS = (("route", "orders"), ("system", "candidate"))


def scraped(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Return the series of each name by their labels, without the migration's name."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {**sample.labels}
            assert labels.pop("migration") == "bench"
            name = sample.name.removeprefix("changeover_")
            found.setdefault(name, {})[tuple(sorted(labels.items()))] = sample.value
    return found


def full(serve: Serve) -> Served:
    """A console of a stage with 50 checks and 20 triggers, and of systems that say a lot."""
    triggers = [{"name": f"t{number}", "metric": "error_rate", "above": "10%", "for": "1s",
                 "action": "alert"} for number in range(TRIGGERS)]
    console = serve(make_plan(triggers=triggers))
    now = clock.now()
    console.move(Mode.GRADUAL, 5000)
    cutover = cutovers.begin(console.store, "bench", flow_run_id=str(uuid4()), now=now)
    cutovers.enter_stage(console.store, cutover.id, console.plan.stages()[0], now=now)
    spec = CheckSpec(metric="error_rate", below="1%")
    check = {"metric": "error_rate", "of": "candidate", "bound": "below 1 %", "samples": 100,
             "verdict": "pass", "reason": "it sounds fine", "value": 0.001,
             "check": spec.model_dump(mode="json", exclude_none=True)}
    standings.save(console.store, Standing(
        cutover.id, "gradual-50", "slo", now, Verdict.PASS, "all well", [check] * CHECKS))
    trigger_standings.save(console.store, "bench", [
        TriggerStanding("bench", f"t{number}", now, Stands.ARMED, now, 0.05, "quiet", {}, {})
        for number in range(TRIGGERS)])
    say_a_lot(console)
    return console


def say_a_lot(console: Served) -> None:
    """Have both systems answer and differ, and the gateway refuse for reasons without end."""
    at = int(clock.now().timestamp()) + 1
    for second in range(at, at + 3):
        samples.write(console.store, "bench", [
            Sample("candidate", second, requests=10, errors={"timeout": 1}, probes=1,
                   probes_up=1, memory_bytes=1 << 20, latency=Histogram.of([4_000] * 10)),
            Sample("gateway", second, requests=REASONS, errors={
                f"reason {number}": 1 for number in range(REASONS)})])
    found = []
    for number in range(PLACES):
        place = f"$.p{number}"
        example = Example("GET /", place, "changed", "1", "2")
        found.append(Compared(
            clock.now(), "GET /", str(number), 0.5, False, 0.01, 0.01, {place: example}))
    comparisons.write(console.store, "bench", found, {"seen": PLACES}, now=clock.now())


def test_a_full_scrape_is_clean_and_bounded(serve: Serve) -> None:
    """Prometheus' own check finds nothing; no family has more series than the table says."""
    console = full(serve)
    text, found = "", {}
    for _ in range(60):
        text = metrics_of(console)
        found = scraped(text)
        requests = found["requests_total"].get((("system", "candidate"),))
        if (requests, found["comparisons_total"][COMPARED]) == (30, PLACES):
            break
    assert found["comparisons_total"] == {COMPARED: PLACES, (("result", "match"),): 0}
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    for family in FAMILIES:
        ends = ("_count",) if str(family.kind) == "histogram" else ("", "_total")
        series = sum(len(found.get(f"{family.name}{end}", {})) for end in ends)
        assert series <= family.bound.most, family.name
    assert len(found["gateway_refused_total"]) == 100
    assert found["series_left_out"] == {(("family", "gateway_refused"),): REASONS - 100}
    assert len(found["check_value"]) == len(found["check_bound"]) == CHECKS
    assert len(found["trigger_nearness_ratio"]) == TRIGGERS
    assert found["divergent_places"] == {(): PLACES}
    # no place, no user and no text is a label
    assert "$.p" not in text
    assert "sounds fine" not in text


def test_the_stage_its_question_and_the_gateway_are_shown(console: Served) -> None:
    """Which stage, how long it still soaks, who waits since when, how fast it was published."""
    store, now = console.store, clock.now()
    cutover = cutovers.begin(store, "bench", flow_run_id=str(uuid4()), now=now)
    stage = console.plan.stages()[0]
    record = cutovers.enter_stage(store, cutover.id, stage, now=now)
    # the second one is confirmed at the third attempt, 8 s after the first
    for version, after, seconds, error in (
            (1, 0, 0.03, ""), (2, 1, 5.0, "silent"), (2, 7, 1.0, "busy"), (2, 8, 1.0, ""),
            (3, 9, 60.0, "silent")):
        at = now + timedelta(seconds=after)
        publications.save(
            store, Publication("bench", 0, version, at, not error, seconds, error))
    seen = scraped(metrics_of(console))
    assert seen["stage_info"] == {(("phase", "gradual"), ("stage", "gradual-50")): 1}
    assert seen["stage"][(("status", "soaking"),)] == 1
    assert seen["soak_remaining_seconds"] == {(): 0}
    assert (seen["stage_number"], seen["plan_stages"]) == ({(): 1}, {(): 1})
    assert seen["cutover"][(("status", "running"),)] == 1
    assert seen["approvals_waiting"] == {(): 0}
    buckets = seen["publish_duration_seconds_bucket"]
    found = [buckets[(("le", limit),)] for limit in ("0.025", "0.05", "5.0", "10.0", "+Inf")]
    assert found == [0, 1, 1, 2, 2]
    assert seen["publish_duration_seconds_sum"] == {(): pytest.approx(8.03)}
    assert seen["publish_failures_total"] == {(): 3}
    assert seen["publish_newest_confirmed"] == {(): 0}
    cutovers.wait_for_approval(store, cutover.id, stage.key)
    verdicts.save(store, GateVerdict(
        cutover.id, stage.key, "guardrails", record.round, 1, Verdict.FAIL, "4xx", now,
        [guardrail("client_errors: at most 1 %", "fail"), guardrail("split", "pass")]))
    approvals.ask(store, Approval(
        cutover.id, stage.key, 1, 1, 0, "Promote?", now - timedelta(hours=3)))
    seen = scraped(metrics_of(console))
    assert seen["approvals_waiting"] == {(): 1}
    assert 10_800 <= seen["approval_age_seconds"][(("stage", "gradual-50"),)] < 10_800 + 3600
    assert seen["guardrail"] == {
        (("guardrail", "client_errors"),): -1, (("guardrail", "split"),): 1}
    assert "soak_remaining_seconds" not in seen


def guardrail(bound: str, verdict: str) -> dict[str, Any]:
    """Return the evidence of a guardrail."""
    return {"metric": "up", "of": "candidate", "bound": f"guardrail {bound}", "verdict": verdict,
            "reason": "because", "value": None, "samples": 0}


@pytest.fixture
def meter(tmp_path: Path) -> Iterator[tuple[Console, Meter]]:
    """A console in this process, and what makes its text."""
    home = Home(tmp_path / "home")
    home.create()
    store = ready_store(home.store_url)
    plan = make_plan()
    plans.register(store, plan, source="test", now=clock.now())
    console = Console(Site(home, plan, store), is_local=True)
    yield console, Meter(console)
    store.close()


def test_each_route_has_its_own_numbers(serve: Serve) -> None:
    """Also one that no request came to: 0 from the beginning; its share is that of its users."""
    console = serve(make_plan(routes=[
        {"name": "orders", "path": {"prefix": "/orders"}},
        {"name": "login", "path": {"prefix": "/login"}, "move": "never"}]))
    console.move(Mode.GRADUAL, 1000, routes=(("orders", 2500),))
    at = int(clock.now().timestamp()) + 1
    mine = Measurements(
        requests=4, errors={"timeout": 1}, user_errors=1, latency=Histogram.of([4_000] * 4))
    samples.write(console.store, "bench", [
        Sample("candidate", second, requests=10, subsets={
            "route:orders": mine, "route:login": Measurements(), "segment:beta": mine})
        for second in range(at, at + 2)])

    wait_for(lambda: scraped(metrics_of(console))["route_requests_total"][OF_ORDERS] == 8)
    seen = scraped(metrics_of(console))
    assert seen["route_request_errors_total"][OF_ORDERS] == 2
    assert seen["route_user_errors_total"][OF_ORDERS] == 2
    assert seen["route_request_duration_seconds_count"][OF_ORDERS] == 8
    assert len(seen["route_requests_total"]) == 4
    assert sum(seen["route_requests_total"].values()) == 8
    assert seen["route_candidate_ratio"] == {
        (("route", "orders"),): 0.25, (("route", "login"),): 0}


def test_the_text_is_kept_for_a_second(
    meter: tuple[Console, Meter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several servers that scrape at once cost one look at the store."""
    _, counted = meter
    at = 100.0
    monkeypatch.setattr(meters.time, "monotonic", lambda: at)
    first = counted.kept()
    at = 100.9
    assert counted.kept() is first
    at = 101.1
    assert counted.kept() is not first


def test_a_scrape_that_takes_long_holds_up_nobody(meter: tuple[Console, Meter]) -> None:
    """Scrapes have one thread of their own: others are answered while it is busy."""
    console, counted = meter
    app, is_free = FastAPI(), threading.Event()
    app.include_router(reading.routes(console, counted))
    counted.thread.submit(is_free.wait)

    async def ask() -> tuple[list[bool], list[int]]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            # more than the threads that all other routes share
            scrapes = [asyncio.create_task(client.get("/metrics")) for _ in range(60)]
            answers = [await client.get("/v1/decision/alice") for _ in range(3)]
            waited = [each.done() for each in scrapes]
            is_free.set()
            answers += await asyncio.gather(*scrapes)
        return waited, [each.status_code for each in answers]

    waited, codes = asyncio.run(ask())
    assert not any(waited)
    assert set(codes) == {200}
