"""The report for programs, as JSON. Pure.

The keys are the fields of `reports.model.ReportData` and of the records inside, and stay the
same within one `format`:

    format             1; grows when a key changes its meaning or goes away
    migration, subject (`cutover` or `status`), generated_at, changeover_version
    systems            {baseline, candidate}: the names people gave them
    headline           {status, word, sentence, decided_by[], started_at, ended_at, seconds}
    cutover            {id, epoch, status, flow_run_id, started_at, ended_at, outcome} or null
    routing            the routing state in one phrase
    start, end         the time that all numbers cover; `chart_end` that of series and marks
    outage             {requests, user_errors, seconds_with_errors, down_seconds,
                       resolution_seconds}
    figures[]          per system: {system, name, start, end, the counts by their names in
                       `changeover.analysis.window.Measurements`, metrics{name: value}};
                       `arrived` and `refused` are the gateway's, the same for both systems
    stages[]           {key, title, status, weight, segments[], soak_seconds, approvers, round,
                       entered_at, decided_at, seconds, decision, reason, figures[],
                       evaluations[{gate, round, attempt, verdict, reason, at, evidence[]}],
                       approvals[{decision, approver, comment, source, asked_at, ...}]}
    timeline[]         {seq, at, kind, title, detail, actor, tone, stage, count}
    marks[], weights[] decisions, and the decided share of users over time
    series             {baseline[], candidate[]}: points of the charts
    outcome_series     the same of what applications reported; {} where nothing was
    triggers[]         how they stand: {trigger, action, condition, stands, since, at, is_old,
                       value, burn, log_worse, log_bar, reason, evidence{}}
    firings[], rollbacks[{record, steps[], must_do[]}], publications[]
    audit              {events, head_hash, problems[]}: intact when `problems` is empty
    differences        what differs between the answers: {findings[{place, verdict,
                       suggestion}], coverage{outcome: n}, latency[2]}; null without shadow
    checks[]           every check over time: {gate, metric, of, bound, bounds[], measure (what
                       stands against the bound: value, ratio, difference, evidence), points[{at,
                       stage, verdict, value, baseline, low, high, harm, harm_bar, health,
                       health_bar, basis (`verdict` or `samples`)}]}
    decided[]          when each check of each stage would have passed and failed: {stage, gate,
                       check, passed_at, passed_after, failed_at, failed_after, verdict, moments}
    keyless            {requests, keyless, share, fate}: requests without a user's key, and what
                       becomes of them
    way_back           whether a rollback would fit, while the baseline is smaller than it was
    procedure          what was done around the stages: {steps[{name, status, detail, at,
                       seconds}], criteria[{text, is_met, detail}]}; null without a cutover
    group              {name, order, members[{migration, order, where, percent, stage, stands,
                       is_finished, must_follow, text}], waits, will_wait}; null without a group
    outcomes[]         what applications reported: {system, segment (empty: all), outcomes,
                       error_rate, duration_mean_seconds, _p50_, _p95_, quality{name: mean}}
    routes[]           each route of the plan: {route, requests (which, in words), percent (of the
                       candidate, now), stands, figures[] (as above), series (of the first 8)}
    plan               the plan, without what may be a secret

Times are ISO 8601 in UTC; `_seconds` are seconds, `_bytes` bytes, rates shares 0..1, `weight`
buckets 0..10000 (2500 is 25 %). null means that nothing was measured.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reports.model import Figures, ReportData

FORMAT = 1


def render_json(data: ReportData) -> str:
    """Return the report as JSON."""
    content = {"format": FORMAT, **plain(data)}
    # NaN is no JSON: a figure that is none fails here, and not at whoever reads the report
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Return a value of the view model as what JSON knows."""
    # a window has histograms and users: only its counts and metrics are for programs
    if isinstance(value, Figures):
        value = value.as_data()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    # enumerations are texts already; what else there may be becomes one
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)
