"""The page `/`: where the migration stands, on one screen. No script, nothing from elsewhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from changeover import clock
from changeover.analysis.check_words import group_text, interval_text, outlook_text
from changeover.analysis.window import Window
from changeover.console.context import Console, Fresh
from changeover.domain.routing import Mode
from changeover.domain.tokens import Scope
from changeover.plan.conditions import OnFail
from changeover.plan.guardrails import GATE
from changeover.plan.metrics import METRICS, QUALITY, Source, format_value, metric_of
from changeover.plan.statuses import STATUS_RATE
from changeover.plan.subsets import in_words
from changeover.plan.units import format_duration
from changeover.shadow import scores
from changeover.site import status as status_of
from changeover.store import audit, claims, cutovers, firings, routing, samples, verdicts

TEMPLATES = Path(__file__).with_name("templates")
REFRESH_SECONDS = 5
TRAFFIC_OVER = timedelta(seconds=10)
OUTCOMES_OVER = timedelta(minutes=5)
"""Outcomes are rarer than requests: some seconds of them would say little."""
MOST_PLACES = 5
MOST_EVENTS = 12
LONGEST_FACT = 160
"""Characters: a page for one screen; the whole is in the audit."""
SYSTEMS = ("baseline", "candidate")
_OF_SYSTEMS = (Source.TRAFFIC, Source.HEALTH, Source.PROCESS)


def routes(console: Console) -> APIRouter:
    """Return the route of the page."""
    router = APIRouter(tags=["read"], route_class=console.auth.route(Scope.READ))
    fresh = Fresh()

    @router.get("/", response_class=HTMLResponse, summary="The page for people")
    async def page() -> Response:
        """Mode, percentage, stages, gates, triggers, figures, divergences and the audit's end."""
        # made anew once a second at most, however many people look
        text = await asyncio.to_thread(
            fresh.get, "page", 1.0, lambda: render(console, fresh))
        headers = {"Content-Security-Policy": policy()}
        return HTMLResponse(text, headers=headers)

    return router


def render(console: Console, fresh: Fresh) -> str:
    """Return the page.

    Raises:
        StoreError: The store cannot be read.
    """
    return templates().get_template("page.html.j2").render(
        style=style(), refresh=REFRESH_SECONDS, **_view(console, fresh))


def policy() -> str:
    """Return the page's content security policy: its own style, and nothing else at all."""
    # by the hash of the style: nothing else may be loaded, run or sent from this page
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    rules = [
        "default-src 'none'", f"style-src 'sha256-{digest}'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ]
    return "; ".join(rules)


def _view(console: Console, fresh: Fresh) -> dict[str, Any]:
    store, plan, now = console.site.store, console.site.plan, clock.now()
    state = routing.read(store, plan.migration)
    cutover = cutovers.latest(store, plan.migration)
    status = status_of.collect(console.site, now=now)
    return {
        "plan": plan, "now": now, "state": state,
        "copied": state.copied if plan.shadow is not None else 0, "cutover": cutover,
        "is_rolled_back": state.mode is Mode.EMERGENCY_ROLLBACK,
        "status": status, "standings": [_standing(gate) for gate in status["gates"]],
        "stages": _stages(console, cutover.id if cutover else None),
        "triggers": _triggers(console, status["triggers"]),
        "figures": _figures(console),
        "differences": fresh.get("differences", 15, lambda: _differences(console)),
        "claims": claims.open_claims(store, plan.migration, now=now),
        "events": [
            (event.at, event.kind, event.actor, _facts(event.data))
            for event in audit.newest(store, plan.migration, limit=MOST_EVENTS)
        ],
    }


def _stages(console: Console, cutover_id: int | None) -> list[dict[str, Any]]:
    """Return every stage of the plan with how it stands and the newest evaluation of each gate."""
    store, known = console.site.store, {}
    evaluations: dict[tuple[str, str], Any] = {}
    if cutover_id is not None:
        known = {record.key: record for record in cutovers.stages(store, cutover_id)}
        for each in verdicts.all_of(store, cutover_id):
            # in order, so the newest evaluation of a gate is what stays
            evaluations[each.stage, each.gate] = each
    shown = []
    for stage in console.site.plan.stages():
        gates = [(gate, evaluations.get((stage.key, gate))) for gate in (*stage.gates, GATE)]
        shown.append({
            "key": stage.key, "title": stage.title, "record": known.get(stage.key),
            "approvers": stage.approvers, "soak": format_duration(stage.soak),
            "hooks": stage.hooks.text, "gates": gates})
    return shown


def _standing(gate: dict[str, Any]) -> dict[str, Any]:
    """Return what a gate of the present stage would say now, its checks' numbers as texts."""
    checks = [_check(each) for each in gate["checks"]]
    return {
        "stage": gate["stage"], "gate": gate["gate"],
        "is_old": gate["is_old"], "checks": checks,
        "at": datetime.fromisoformat(gate["at"]),
    }


def _check(check: dict[str, Any]) -> dict[str, Any]:
    asked = check.get("check", {})
    metric = metric_of(check["metric"], asked.get("unit"))
    what = f"{metric.words} of {check['of']}"
    if asked.get("path"):
        what += f" at {asked['path']}"
    what += in_words(check.get("subset"))
    baseline = "–"
    if check["baseline_samples"] is not None:
        baseline = format_value(metric, check["baseline_value"])
    return {
        "verdict": check["verdict"], "standing": check["standing"],
        "bound": check["bound"],
        "is_shown_only": check.get("on_fail") == OnFail.SHOW,
        "what": what, "reason": check["reason"],
        "group": group_text(check), "interval": interval_text(check),
        "outlook": outlook_text(check), "baseline": baseline,
        "value": format_value(metric, check["value"]),
    }


def _triggers(console: Console, standings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how the triggers stand, each with its last firing of the day."""
    since = clock.now() - timedelta(days=1)
    site, fired = console.site, {}
    # oldest first: the newest of a trigger stays
    for each in firings.all_of(site.store, site.migration, since=since):
        fired[each.trigger] = each
    rows = []
    for standing in standings:
        row = {**standing, "fired": fired.get(standing["trigger"])}
        if row["since"]:
            row["since"] = datetime.fromisoformat(row["since"])
        rows.append(row)
    return rows


def _figures(console: Console) -> list[tuple[str, str, str]]:
    """Return (what, baseline's, candidate's) for everything that is measured."""
    site, now = console.site, clock.now()

    def windows(over: timedelta) -> list[Window]:
        found = []
        for name in SYSTEMS:
            found.append(samples.window(
                site.store, site.migration, name, start=now - over, end=now))
        return found

    traffic, reported = windows(TRAFFIC_OVER), windows(OUTCOMES_OVER)
    counts = [str(found.requests) for found in traffic]
    rows = [_row("requests in 10 s", counts)]
    rows += [_metric_row(name, traffic) for name in _metrics(_OF_SYSTEMS)]
    # the gateway's: the same for both
    if traffic[0].refused:
        rows.append(_metric_row("refused_rate", traffic))
    # plans without reported outcomes have no rows of them
    if any(found.outcomes for found in reported):
        counts = [str(found.outcomes) for found in reported]
        rows.append(_row("outcomes in 5 min", counts))
        quality: set[str] = set()
        for found in reported:
            quality |= {QUALITY + name for name in found.quality}
        names = [*_metrics((Source.OUTCOME,)), *sorted(quality)]
        rows += [_metric_row(name, reported) for name in names]
    return rows


def _metrics(sources: tuple[Source, ...]) -> list[str]:
    names = []
    for name, metric in METRICS.items():
        # a rate of statuses says nothing without the statuses that a check names
        if metric.source in sources and name != STATUS_RATE:
            names.append(name)
    return names


def _row(what: str, values: list[str]) -> tuple[str, str, str]:
    return what, values[0], values[1]


def _metric_row(name: str, windows: list[Window]) -> tuple[str, str, str]:
    metric, texts = METRICS[name], []
    for found in windows:
        value = found.measure(name).value
        texts.append(format_value(metric, value))
    return _row(metric.words, texts)


def _differences(console: Console) -> dict[str, Any] | None:
    site = console.site
    if site.plan.shadow is None:
        return None
    known = scores.collect(site.store, site.migration)
    # a place whose differences are all ignored is no difference
    differing = [each for each in known.findings if each.place.diverged]
    differing.sort(key=lambda each: each.place.last_seen, reverse=True)
    return {
        "match_rate": known.match_rate,
        "compared": known.coverage.get("compared", 0),
        "newest": differing[:MOST_PLACES],
    }


def _facts(data: dict[str, Any]) -> str:
    """Return an event's facts in one line, as `stage: full, weight: 10000`; long ones are cut."""
    shown = []
    for key, value in data.items():
        text = _as_text(value)
        if text:
            shown.append(f"{key.replace('_', ' ')}: {text[:LONGEST_FACT]}")
    return "; ".join(shown)


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        parts = [f"{name} {_as_text(inner)}" for name, inner in value.items()]
        return ", ".join(parts)
    if isinstance(value, list):
        return ", ".join(_as_text(inner) for inner in value)
    # as in the plan and in JSON: true, not True
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


@cache
def style() -> Markup:
    """Return the pages' style."""
    return Markup((TEMPLATES / "page.css").read_text())  # noqa: S704


@cache
# a name that the template misspells is an error, not an empty place
def templates() -> Environment:
    """Return where the pages' templates are."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
