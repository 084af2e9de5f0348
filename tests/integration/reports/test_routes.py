"""What each route's requests met stands in every form of the report of a cutover."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from changeover import clock
from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Measurements, Sample
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.store import plans, routing, samples
from changeover.store.engine import Store
from reports.as_json import render_json
from reports.evidence import collect
from reports.render import render_html, render_markdown
from tests.integration.conftest import make_plan
from tests.support.ready_store import ready_store

BEGIN = clock.now().replace(microsecond=0) - timedelta(hours=1)
ROUTES: list[dict[str, Any]] = [
    {"name": "orders", "path": {"prefix": "/orders"}},
    {"name": "login", "path": {"exact": "/login"}, "move": "never"}]


def measure(store: Store) -> None:
    """Store a minute in which a tenth of the candidate's orders failed, and nobody signed in."""
    met = Measurements(requests=10, errors={"status_5xx": 1}, user_errors=1,
                       latency=Histogram.of([20_000] * 10))
    rows = []
    for second in range(60):
        at = int(BEGIN.timestamp()) + second
        rows += [Sample("candidate", at, requests=30, subsets={
                    "route:orders": met, "route:login": Measurements()}),
                 Sample("baseline", at, requests=30, subsets={
                    "route:orders": Measurements(), "route:login": Measurements(requests=1)})]
    samples.write(store, "bench", rows)


def test_routes_stand_in_the_report(tmp_path: Path) -> None:
    """Where each is and what it met; without routes there is no such section."""
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    plan = make_plan(routes=ROUTES)
    plans.register(store, plan, source="test", now=BEGIN)
    change = Change(mode=Mode.GRADUAL, weight=0, routes=(("orders", 2500),))
    routing.change(store, "bench", change, Author("test", "test"), now=BEGIN)
    measure(store)
    now = BEGIN + timedelta(minutes=2)
    data = collect(store, plan, None, now=now)
    page = render_html(data)
    for text in (page, render_markdown(data)):
        assert "/orders and below" in text and "25 %" in text and "never moves" in text
        assert "60 (10.000 %)" in text
    assert "Error rate of both systems: route orders" in page
    assert "p95 latency of both systems: route login" not in page
    orders, login = json.loads(render_json(data))["routes"]
    assert (orders["route"], orders["percent"]) == ("orders", 25)
    assert [each["requests"] for each in orders["figures"]] == [0, 600]
    assert orders["figures"][1]["metrics"]["latency_p95"] == pytest.approx(0.02, rel=0.1)
    assert [each["requests"] for each in login["figures"]] == [60, 0]
    plain = make_plan()
    assert 'id="routes"' not in render_html(collect(store, plain, None, now=now))
    store.close()
