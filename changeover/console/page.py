"""The page `/`: where the migration stands, on one screen. No script, nothing from elsewhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from changeover import clock
from changeover.analysis.check import describe_bound
from changeover.analysis.window import Window
from changeover.console.context import Console, Fresh
from changeover.domain.routing import Mode
from changeover.domain.tokens import Scope
from changeover.plan.guardrails import GATE
from changeover.plan.metrics import METRICS, QUALITY, format_value
from changeover.plan.units import format_duration
from changeover.shadow import scores
from changeover.site import status as status_of
from changeover.store import audit, claims, cutovers, firings, routing, samples, verdicts

TEMPLATES = Path(__file__).with_name("templates")
REFRESH_SECONDS = 5
TRAFFIC_OVER = timedelta(seconds=10)
OUTCOMES_OVER = timedelta(minutes=5)
MOST_PLACES = 5
MOST_EVENTS = 12
_TRAFFIC = ("error_rate", "user_error_rate", "client_error_rate", "redirect_rate", "empty_rate",
            "latency_p50", "latency_p95", "latency_p99", "up",
            "memory", "cpu")
_OUTCOMES = ("outcome_error_rate", "outcome_duration_p50", "outcome_duration_p95")


def routes(console: Console) -> APIRouter:
    """Return the route of the page."""
    router = APIRouter(tags=["look"], route_class=console.auth.route(Scope.READ))
    fresh = Fresh()

    @router.get("/", response_class=HTMLResponse, summary="The page for people")
    async def page() -> Response:
        """Mode, percentage, stages, gates, triggers, figures, divergences and the audit's end."""
        text = await asyncio.to_thread(fresh.get, "page", 1.0, lambda: render(console, fresh))
        return HTMLResponse(text, headers={"Content-Security-Policy": policy()})

    return router


def render(console: Console, fresh: Fresh) -> str:
    """Return the page.

    Raises:
        StoreError: The store cannot be read.
    """
    return _environment().get_template("page.html.j2").render(
        style=Markup(_style()), refresh=REFRESH_SECONDS, **_view(console, fresh))  # noqa: S704


def policy() -> str:
    """Return the page's content security policy: its own style, and nothing else at all."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'")


def _view(console: Console, fresh: Fresh) -> dict[str, Any]:
    store, plan, now = console.site.store, console.site.plan, clock.now()
    state = routing.read(store, plan.migration)
    cutover = cutovers.latest(store, plan.migration)
    return {
        "plan": plan, "now": now, "state": state,
        "copied": state.copied if plan.shadow is not None else 0, "cutover": cutover,
        "is_rolled_back": state.mode is Mode.EMERGENCY_ROLLBACK,
        "status": status_of.collect(console.site, now=now),
        "stages": _stages(console, cutover.id if cutover else None),
        "triggers": _triggers(console),
        "figures": _figures(console),
        "differences": fresh.get("differences", 15, lambda: _differences(console)),
        "claims": claims.open_claims(store, plan.migration, now=now),
        "events": [
            (event.at, event.kind, event.actor, _told(event.data))
            for event in audit.newest(store, plan.migration, limit=MOST_EVENTS)
        ],
    }


def _stages(console: Console, cutover_id: int | None) -> list[dict[str, Any]]:
    """Return every stage of the plan with how it stands and the newest look at each gate."""
    store, known = console.site.store, {}
    looks: dict[tuple[str, str], Any] = {}
    if cutover_id is not None:
        known = {record.key: record for record in cutovers.stages(store, cutover_id)}
        looks = {(look.stage, look.gate): look for look in verdicts.all_of(store, cutover_id)}
    return [
        {"title": stage.title, "record": known.get(stage.key),
         "soak": format_duration(stage.soak), "approvers": stage.approvers,
         "gates": [(gate, looks.get((stage.key, gate))) for gate in (*stage.gates, GATE)]}
        for stage in console.site.plan.stages()
    ]


def _triggers(console: Console) -> list[dict[str, Any]]:
    since = clock.now() - timedelta(days=1)
    fired = {each.trigger: each for each in firings.all_of(
        console.site.store, console.site.migration, since=since)}
    return [
        {"name": spec.name, "action": str(spec.action), "fired": fired.get(spec.name),
         "condition": f"{METRICS[spec.metric].words} of {spec.of}" + (
             f" in {spec.segment}" if spec.segment else "")
         + f" {describe_bound(spec)}, for {format_duration(spec.for_)}"}
        for spec in console.site.plan.triggers
    ]


def _figures(console: Console) -> list[tuple[str, str, str]]:
    """Return (what, baseline's, candidate's) for everything that is measured."""
    now = clock.now()

    def windows(over: timedelta) -> list[Window]:
        return [samples.window(console.site.store, console.site.migration, name, start=now - over,
                               end=now) for name in ("baseline", "candidate")]

    traffic, reported = windows(TRAFFIC_OVER), windows(OUTCOMES_OVER)
    rows = [_row("requests in 10 s", [str(found.requests) for found in traffic])]
    rows += [_metric_row(name, traffic) for name in _TRAFFIC]
    if traffic[0].refused:  # the gateway's: the same for both
        rows.append(_metric_row("refused_rate", traffic))
    if any(found.outcomes for found in reported):
        rows.append(_row("outcomes in 5 min", [str(found.outcomes) for found in reported]))
        names = sorted({name for found in reported for name in found.quality})
        rows += [_metric_row(name, reported)
                 for name in (*_OUTCOMES, *(QUALITY + name for name in names))]
    return rows


def _row(what: str, values: list[str]) -> tuple[str, str, str]:
    return what, values[0], values[1]


def _metric_row(name: str, windows: list[Window]) -> tuple[str, str, str]:
    return _row(METRICS[name].words, [
        format_value(METRICS[name], found.measure(name).value) for found in windows])


def _differences(console: Console) -> dict[str, Any] | None:
    if console.site.plan.shadow is None:
        return None
    known = scores.collect(console.site.store, console.site.migration)
    newest = sorted(known.findings, key=lambda each: each.place.last_seen, reverse=True)
    return {"match_rate": known.match_rate, "compared": known.coverage.get("compared", 0),
            "newest": [each for each in newest if each.place.diverged][:MOST_PLACES]}


def _told(data: dict[str, Any]) -> str:
    """Return an event's facts in one line; values that people wrote are cut."""
    return ", ".join(f"{key} {str(value)[:160]}" for key, value in data.items() if value != "")


@cache
def _style() -> str:
    return (TEMPLATES / "page.css").read_text()


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True)
