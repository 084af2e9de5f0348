"""What gates say and said: the evidence over time beside the bounds, and every stored verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from changeover.analysis.check_words import evidence_text, gate_word
from changeover.console.pages import evidence, figures, marks, traffic
from changeover.console.pages.charts import Chart
from changeover.console.pages.upcoming import stands
from changeover.console.pages.view import Look, View
from changeover.domain.rollout import Cutover, GateVerdict
from changeover.plan.conditions import CheckSpec
from changeover.site import status
from changeover.store import courses, cutovers
from changeover.store import verdicts as stored

KEPT_SECONDS = 3.0
MOST_IN_FULL = 40
"""Verdicts whose checks stand in a table; of earlier ones only the sentence is shown."""
MOST_LISTED = 200
EARLIER_CUTOVERS = 3


def collect(look: Look) -> dict[str, Any]:
    """Return what the sections of the verdicts show."""
    site, now = look.site, look.now
    cutover = cutovers.latest(site.store, site.migration)
    gates = status.gates(site.store, cutover, now=now) if cutover else []
    judged = look.kept.get("verdicts", KEPT_SECONDS, now.timestamp(), lambda: _cutovers(look))
    return {
        "gates": [_gate(look, each) for each in gates], "cutovers": judged, "cutover": cutover,
        "has_gates": any(stage.gates for stage in site.plan.stages())}


def charts(look: Look) -> Sequence[Chart]:
    """Return the charts of every check that was judged in the range."""
    start = traffic.begin(look)

    def read() -> list[Chart]:
        moments = courses.since(look.site.store, look.migration, start)
        found: list[Chart] = []
        for place in evidence.places(look.site.plan.all_gates):
            found += evidence.charts_of(place, moments)
        return found

    key = "courses", look.range.name
    known = look.kept.get(key, traffic.good_for(look), look.now.timestamp(), read)
    decided = marks.marks(look, start.timestamp())
    span = start.timestamp(), look.now.timestamp()
    return [replace(each, marks=decided, span=span) for each in known]


VIEW = View("verdicts", "Verdicts", ("now", "stages"), collect, charts)


def _gate(look: Look, gate: dict[str, Any]) -> dict[str, Any]:
    """Return what a gate of the present stage would say now, and each of its checks."""
    specs = look.site.plan.all_gates.get(gate["gate"], [])
    (texts,) = figures.standings([gate])
    rows = []
    # a gate that was amended has other checks than were judged last
    for index, (raw, text) in enumerate(zip(gate["checks"], texts["checks"], strict=True)):
        spec = specs[index] if index < len(specs) else None
        rows.append({**text, "evidence": evidence_text(raw), "strip": _strip(spec, raw)})
    return {**texts, "checks": rows, "says": stands(gate["checks"])}


def _strip(spec: CheckSpec | None, raw: dict[str, Any]) -> evidence.Strip | None:
    return None if spec is None else evidence.strip(spec, raw)


def _cutovers(look: Look) -> list[dict[str, Any]]:
    """Return the newest cutovers with their verdicts by stage, the newest first."""
    known = cutovers.all_of(look.site.store, look.migration)[::-1]
    titles = marks.titles_of(look)
    found: list[dict[str, Any]] = []
    for cutover in known[:EARLIER_CUTOVERS + 1]:
        found.append(_cutover(look, cutover, titles, is_newest=not found))
    return found


def _cutover(
    look: Look, cutover: Cutover, titles: dict[str, str], *, is_newest: bool
) -> dict[str, Any]:
    all_of_it = stored.all_of(look.site.store, cutover.id)
    # guardrails are judged again and again: of a long cutover the newest are shown
    newest = all_of_it[-MOST_LISTED:][::-1]
    stages: dict[str, list[dict[str, Any]]] = {}
    for number, each in enumerate(newest):
        row = _verdict(each, in_full=is_newest and number < MOST_IN_FULL)
        stages.setdefault(each.stage, []).append(row)
    found = []
    for key, rows in stages.items():
        found.append({"key": key, "title": titles.get(key, key), "verdicts": rows})
    return {"id": cutover.id, "status": cutover.status, "started_at": cutover.started_at,
            "stages": found, "left_out": len(all_of_it) - len(newest)}


def _verdict(each: GateVerdict, *, in_full: bool) -> dict[str, Any]:
    checks = []
    if in_full:
        for raw in each.evidence:
            checks.append({**figures.check_texts(raw), "evidence": evidence_text(raw)})
    return {
        "id": each.id, "gate": each.gate, "at": each.at, "verdict": each.verdict,
        "word": gate_word(each.verdict, each.evidence), "reason": each.reason,
        "round": each.round, "attempt": each.attempt, "checks": checks}
