"""The rows of each table, in parts, as plain values by column."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from changeover import clock
from changeover.analysis.window import GATEWAY, SHADOW, Sample, of_subset
from changeover.domain.routing import System
from changeover.plan.conditions import OnFail
from changeover.plan.subsets import route_of_subset
from changeover.store import exporting
from changeover.store.engine import Store

Row = dict[str, Any]
Part = list[Row]
MINUTE = 60
SYSTEMS = (*map(str, System), SHADOW, GATEWAY)
ITEM_KEYS = ("item", "items", "key", "keys")
"""Facts of the audit that name whose work it was."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of a migration is wanted.

    Args:
        store: The store.
        migration: Name of the migration.
        since: From when on; None: from the beginning.
        until: Until when, excluded; None: until now.
        with_keys: Whether columns that may name a user are wanted.
        resolution: Of samples: 60 for minutes, 1 for seconds as long as they are kept.
    """

    store: Store
    migration: str
    since: datetime | None = None
    until: datetime | None = None
    with_keys: bool = False
    resolution: int = MINUTE

    @property
    def span(self) -> exporting.Span:
        """The time that is wanted."""
        return self.since, self.until


def parts(table: str, wanted: Wanted) -> Iterator[Part]:
    """Yield a table's rows in order, some thousand at a time; memory does not grow with them."""
    return _TABLES[table](wanted)


def _text(value: Any) -> str:
    """Return JSON of a document, with sorted keys: the same value gives the same text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _stages(wanted: Wanted) -> Iterator[Part]:
    for page in exporting.stages(wanted.store, wanted.migration, wanted.span):
        found = []
        for stage, cutover_status, *_ in page:
            found.append({
                "cutover": stage.cutover_id, "cutover_status": cutover_status,
                "stage": stage.key, "status": stage.status,
                "entered_at": stage.entered_at, "soak_until": stage.soak_until,
                "round": stage.round, "decided_at": stage.decided_at, "reason": stage.reason})
        yield found


def _verdicts(wanted: Wanted) -> Iterator[Part]:
    for page in exporting.verdicts(wanted.store, wanted.migration, wanted.span):
        found = []
        for each, *_ in page:
            found.append({
                "id": each.id, "at": each.at, "cutover": each.cutover_id,
                "stage": each.stage, "gate": each.gate, "round": each.round,
                "attempt": each.attempt, "verdict": each.verdict, "reason": each.reason,
                "checks": len(each.evidence)})
        yield found


def _checks(wanted: Wanted) -> Iterator[Part]:
    for page in exporting.verdicts(wanted.store, wanted.migration, wanted.span):
        found = []
        for verdict, *_ in page:
            for number, check in enumerate(verdict.evidence, 1):
                head = {"verdict": verdict.id, "at": verdict.at, "stage": verdict.stage,
                        "gate": verdict.gate, "check": number}
                found.append(head | _check(check))
        # a page of gates without checks is no end
        if found:
            yield found


_PLAIN = ("metric", "of", "subset", "bound", "reason", "value", "samples",
          "baseline_value", "baseline_samples")


def _check(check: Mapping[str, Any]) -> Row:
    interval = check.get("interval") or {}
    # older versions kept less: what is missing stays missing
    row = {name: check.get(name) for name in _PLAIN}
    return row | {
        "result": check.get("verdict"),
        # what most checks say is left out where it is stored
        "on_fail": check.get("on_fail", str(OnFail.ROLLBACK)),
        "low": interval.get("low"), "high": interval.get("high"),
        "interval_of": interval.get("of"),
        "window_start": _moment(check.get("window_start")),
        "window_end": _moment(check.get("window_end"))}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _samples(wanted: Wanted) -> Iterator[Part]:
    for system in SYSTEMS:
        found = exporting.seconds(
            wanted.store, wanted.migration, system, wanted.resolution, wanted.span)
        for page in found:
            yield [_sample(each) for each in page]


def _sample(one: Sample) -> Row:
    latency = one.latency
    quantiles = {}
    for percent in (50, 95, 99):
        quantiles[f"p{percent}_seconds"] = latency.quantile_seconds(percent / 100)
    watched = one.resolution if one.watched is None else one.watched
    plain = {name: getattr(one, name) for name in _COUNTED}
    return {
        "at": clock.from_timestamp(one.at), "system": one.system, "seconds": one.resolution,
        "gateway": one.gateway, "watched_seconds": watched,
        "failed": sum(one.errors.values()), **plain, **quantiles,
        "similarity_sum": one.similarity, "failed_by_class": _text(dict(one.errors)),
        "statuses": _text(dict(one.statuses)), "latency_bins": _text(latency.document())}


def _route_samples(wanted: Wanted) -> Iterator[Part]:
    for system in map(str, System):
        found = exporting.seconds(
            wanted.store, wanted.migration, system, wanted.resolution, wanted.span)
        for page in found:
            rows = [row for each in page for row in _of_routes(each)]
            # a page of a time before the plan had routes is no end
            if rows:
                yield rows


def _of_routes(one: Sample) -> Iterator[Row]:
    for subset in one.subsets:
        if (route := route_of_subset(subset)) is not None:
            yield _sample(of_subset(one, subset)) | {"route": route}


_COUNTED = ("requests", "client_errors", "user_errors", "redirects", "answers", "empty_answers",
            "answer_bytes", "probes", "probes_up", "memory_bytes", "cpu_cores", "compared",
            "matched")


def _comparisons(wanted: Wanted) -> Iterator[Part]:
    for page in exporting.comparisons(wanted.store, wanted.migration, wanted.span):
        yield [dict(row._mapping) for row in page]


def _divergences(wanted: Wanted) -> Iterator[Part]:
    for page in exporting.divergences(wanted.store, wanted.migration, wanted.span):
        found = []
        for each, *_ in page:
            found.append({
                "place": each.field, "diverged": each.diverged, "ignored": each.ignored,
                "only_candidate": each.only_candidate, "only_baseline": each.only_baseline,
                "both": each.both, "first_seen": each.first_seen, "last_seen": each.last_seen,
                "kinds": _text(each.counts), "examples": _text(each.examples)})
        yield found


def _outcomes(wanted: Wanted) -> Iterator[Part]:
    for page in exporting.outcomes(wanted.store, wanted.migration, wanted.span):
        found = []
        for row in page:
            values = dict(row._mapping)
            found.append(values | {"at": clock.from_timestamp(row.at)})
        yield found


def _firings(wanted: Wanted) -> Iterator[Part]:
    for page in exporting.firings(wanted.store, wanted.migration, wanted.span):
        found = []
        for each, *_ in page:
            scope = each.evidence.get("scope")
            found.append({
                "id": each.id, "fired_at": each.fired_at, "trigger": each.trigger,
                "action": each.action, "did": f"{each.action} of {scope}" if scope else each.action,
                "reason": each.reason, "evidence_complete_at": each.evidence_complete_at,
                "published_at": each.published_at, "epoch": each.epoch,
                "evidence": _text(each.evidence)})
        yield found


def _audit(wanted: Wanted) -> Iterator[Part]:
    since, until = wanted.span
    for page in exporting.audit(wanted.store, wanted.migration, wanted.span):
        found = []
        for each, *_ in page:
            at = datetime.fromisoformat(each.at)
            if (since and at < since) or (until and at >= until):
                continue
            data = each.data if wanted.with_keys else _without_items(each.data)
            found.append({"seq": each.seq, "at": at, "actor": each.actor, "kind": each.kind,
                          "data": data, "hash": each.hash})
        if found:
            yield found


def _without_items(text: str) -> str:
    """Return an event's facts without the names of claimed items, which may be users'."""
    data = json.loads(text)
    named = [name for name in ITEM_KEYS if name in data]
    if not named:
        return text
    return _text({name: value for name, value in data.items() if name not in named})


_TABLES: dict[str, Callable[[Wanted], Iterator[Part]]] = {
    "stages": _stages, "verdicts": _verdicts, "checks": _checks, "samples": _samples,
    "route_samples": _route_samples,
    "comparisons": _comparisons, "divergences": _divergences, "outcomes": _outcomes,
    "firings": _firings, "audit": _audit,
}
