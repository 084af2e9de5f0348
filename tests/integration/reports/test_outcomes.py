"""What applications reported stands in every form of the report, by system and segment."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from changeover.domain.outcomes import Outcome
from changeover.store import outcomes, plans
from reports.as_json import render_json
from reports.evidence import collect
from reports.render import render_html, render_markdown
from tests.support.cutover_story import BEGIN, plan
from tests.support.ready_store import ready_store


def test_outcomes_stand_in_the_report(tmp_path: Path) -> None:
    """Numbers of all users and of the segment; without outcomes there is no such section."""
    store = ready_store(f"sqlite:///{tmp_path / 'store.db'}")
    chosen = plan()
    plans.register(store, chosen, source="test", now=BEGIN)
    now = BEGIN + timedelta(minutes=2)
    assert "What applications reported" not in render_html(collect(store, chosen, None, now=now))
    outcomes.save(store, chosen.migration, [
        Outcome("a", "candidate", True, 0.5, {"confidence": 0.9}),
        Outcome("b", "candidate", False, 0.5, {"confidence": 0.7}, ("beta",))], now=BEGIN)
    data = collect(store, chosen, None, now=now)
    for text in (render_html(data), render_markdown(data)):
        assert "What applications reported" in text
        assert "50.000 %" in text and "confidence 0.8" in text and "confidence 0.7" in text
    found = json.loads(render_json(data))["outcomes"]
    assert [(each["segment"], each["outcomes"], each["error_rate"]) for each in found] == [
        ("", 2, 0.5), ("beta", 1, 1.0)]
    assert found[0]["quality"]["confidence"] == pytest.approx(0.8)
    store.close()
