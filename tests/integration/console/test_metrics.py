"""`/metrics` of a full migration: valid, bounded, quick, and in nobody's way."""

from __future__ import annotations

import subprocess
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from changeover import clock
from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Sample
from changeover.console.exposition.catalogue import FAMILIES
from changeover.domain.comparisons import Compared, Example
from changeover.domain.publications import Publication
from changeover.domain.rollbacks import Stands, TriggerStanding
from changeover.domain.rollout import Approval, GateVerdict, Standing
from changeover.domain.routing import Mode
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec
from changeover.store import (
    approvals,
    comparisons,
    cutovers,
    publications,
    samples,
    standings,
    trigger_standings,
    verdicts,
)
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Serve, Served, metrics_of

pytestmark = pytest.mark.integration

CHECKS, TRIGGERS, PLACES, REASONS = 50, 20, 500, 300


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
        if found.get("requests_total", {}).get((("system", "candidate"),)) == 30:
            break
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
    for seconds, is_confirmed in ((0.03, True), (0.7, True), (60.0, False)):
        publications.save(store, Publication(
            "bench", 0, 1, now, is_confirmed, seconds, "" if is_confirmed else "silent"))
    seen = scraped(metrics_of(console))
    assert seen["stage_info"] == {(("phase", "gradual"), ("stage", "gradual-50")): 1}
    assert seen["stage"][(("status", "soaking"),)] == 1
    assert seen["soak_remaining_seconds"] == {(): 0}
    assert (seen["stage_number"], seen["plan_stages"]) == ({(): 1}, {(): 1})
    assert seen["cutover"][(("status", "running"),)] == 1
    assert seen["approvals_waiting"] == {(): 0}
    buckets = seen["publish_duration_seconds_bucket"]
    assert [buckets[(("le", limit),)] for limit in ("0.025", "0.05", "1.0", "+Inf")] == [0, 1, 2, 2]
    assert seen["publish_failures_total"] == {(): 1}
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


def test_many_scrapes_at_once_cost_one(console: Served) -> None:
    """The text is kept for a second, whoever asks."""
    client = console.client()
    texts = Counter(client.get("/metrics").text for _ in range(20))
    assert len(texts) < 20
