"""Flags and shares: what was decided of users, what holds, and whether they are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from changeover.console.pages import drift, flag_rows, marks, standing_triggers, traffic
from changeover.console.pages.charts import Chart, Mark, Value
from changeover.console.pages.drift import Drift
from changeover.console.pages.flag_rows import Changed
from changeover.console.pages.traffic import Panel, Values
from changeover.console.pages.view import Look, View
from changeover.domain.event_words import words_of
from changeover.domain.publications import Publication
from changeover.domain.routing import RoutingState, System
from changeover.plan.members import ALL, COPIED, NONE
from changeover.procedures.guardrail_evidence import user_groups
from changeover.site import trigger_status
from changeover.store import flag_changes, publications, routing

SHARE = Panel("drift", "Decided and measured share of the candidate", "%", least_top=100)
USERS = Panel("users", "Users that came, by step (estimate)", "users", least_top=10)
LATENCY = Panel("latency", "Until the gateway served a decision", "ms", least_top=100)
FLAG_KINDS = ("flag.changed", "flags.set")
MOST_FLAG_MARKS = 10
MOST_PUBLICATIONS = 8
DRIFT_SECONDS = 30.0
"""Groups of users are summed up by the minute and are the costliest to read."""
SECONDS = 2.0
SERVING_SECONDS = 1.0


def collect(look: Look) -> dict[str, Any]:
    """Return what the sections show."""
    site = look.site
    state = routing.read(site.store, site.migration)
    standings = trigger_status.triggers(site.store, site.plan, now=look.now)
    known = _publications(look)
    return {
        "state": state, "drift": _drift(look, state),
        "seen": _seen(look), "range": look.range,
        "segments": _segments(look, state),
        "flags": _flags(look, state),
        "triggers": standing_triggers.rows(look, standings),
        "gateway": site.gateway.serving(state).text,
        "version": f"{state.epoch}.{state.version}",
        "confirmed": _confirmed(known, state),
        "publications": known[::-1][:MOST_PUBLICATIONS],
    }


def charts(look: Look) -> Sequence[Chart]:
    """Return the charts that have data, with changes of flags among the marks."""
    steps = {name: drift.in_steps(traffic.windows(look, name)) for name in System}
    old, new = steps[System.BASELINE], steps[System.CANDIDATE]
    # both are measured in the same seconds
    times = [at for at in old if at in new]
    by_users: dict[int, Value] = {}
    by_requests: dict[int, Value] = {}
    for at in times:
        by_users[at] = drift.split_share(old[at], new[at])
        by_requests[at] = drift.request_share(old[at], new[at])
    decided = drift.at_times(marks.shares(look), times)
    shares = [Values("decided", "ink", decided), Values("of the users", "candidate", by_users),
              Values("of requests, with segments", "warn", by_requests)]
    users = []
    for name, windows in steps.items():
        seen: dict[int, Value] = {at: drift.users_seen(each) for at, each in windows.items()}
        users.append(Values(str(name), str(name), seen))
    found = [traffic.over_time(SHARE, shares), traffic.over_time(USERS, users),
             traffic.over_time(LATENCY, [_latency(look)])]
    more = _flag_marks(look)
    return [replace(each, marks=_in_order(each.marks, more))
            for each in traffic.framed(look, found)]


VIEW = View(
    "feature-flags", "Feature flags",
    ("now", "flags", "segments", "triggers", "publishing"), collect, charts)


def _drift(look: Look, state: RoutingState) -> Drift:
    """Return whether users are where they were decided to be, since the newest decision."""
    def read() -> Drift:
        return drift.drift(
            user_groups(look.site, _decided_at(look), look.now), state.weight)

    # a new decision is not judged by what was counted under the one before it
    key = "drift", state.epoch, state.version
    return look.kept.get(key, DRIFT_SECONDS, look.now.timestamp(), read)


def _decided_at(look: Look) -> datetime:
    changes = marks.events(look, marks.SHARE_KINDS)
    return changes[-1].at if changes else look.now


def _seen(look: Look) -> dict[str, Any]:
    """Return about how many users each system had in the range, and their requests."""
    found = {}
    for name in System:
        whole = traffic.total(look, name)
        found[str(name)] = {"users": drift.users_seen(whole), "requests": whole.requests}
    return found


def _segments(look: Look, state: RoutingState) -> list[dict[str, str]]:
    """Return the plan's segments, whom each has, and with which system they are now."""
    rows = []
    for name, spec in look.site.plan.routing.segments.items():
        rows.append({"name": name, "who": spec.title,
                     **_stands(name, state)})
    return rows


def _stands(name: str, state: RoutingState) -> dict[str, str]:
    if state.reach.level == ALL:
        return {"stands": "candidate", "why": "everyone is"}
    if state.reach.level in (NONE, COPIED):
        return {"stands": "baseline", "why": "everyone is"}
    if name in state.kept:
        return {"stands": "baseline", "why": "kept: it was rolled back alone"}
    if name in state.segments:
        return {"stands": "candidate", "why": "the segment was moved"}
    return {"stands": "split", "why": f"as all users: {state.weight / 100:g} % on the candidate"}


def _flags(look: Look, state: RoutingState) -> list[flag_rows.FlagRow]:
    site = look.site

    def read() -> list[flag_rows.FlagRow]:
        changes = {}
        for key, newest in flag_changes.newest(site.store, site.migration).items():
            changes[key] = Changed(*newest)
        return flag_rows.rows(
            flag_changes.states(site.store, site.migration), changes,
            safe=site.plan.rollback.safe_flags, mode=str(state.mode), today=look.now.date())

    return look.kept.get(("flags", state.mode), SECONDS, look.now.timestamp(), read)


def _publications(look: Look) -> list[Publication]:
    """Return the attempts of the range to bring decisions to the gateway, oldest first."""
    def read() -> list[Publication]:
        found = publications.after(
            look.site.store, look.migration, 0, since=traffic.begin(look))
        return [each for _, each in found]

    key = "publications", look.range.name
    return look.kept.get(key, SECONDS, look.now.timestamp(), read)


def _confirmed(known: Sequence[Publication], state: RoutingState) -> Publication | None:
    """Return the attempt after which the gateway served the newest decision."""
    for each in reversed(known):
        if each.is_confirmed and (each.epoch, each.version) == state.order:
            return each
    return None


def _latency(look: Look) -> Values:
    values: dict[int, Value] = {}
    for each in _publications(look):
        if each.is_confirmed:
            values[int(each.at.timestamp())] = each.seconds * 1000
    return Values("until it was served", "ink", values)


def _flag_marks(look: Look) -> list[Mark]:
    start = traffic.begin(look).timestamp()
    found = []
    for event in marks.events(look, FLAG_KINDS):
        at = event.at.timestamp()
        if at >= start:
            found.append(Mark(at, words_of(event, {}).title))
    return found[-MOST_FLAG_MARKS:]


def _in_order(decided: Sequence[Mark], more: Sequence[Mark]) -> list[Mark]:
    return sorted([*decided, *more], key=lambda each: each.at)
