"""Where a migration stands, as one JSON-able mapping: for the command line, the demo, programs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from changeover.analysis.check_words import (
    asks_people,
    group_text,
    interval_text,
    outlook_text,
)
from changeover.analysis.window import Window
from changeover.domain import run_ends
from changeover.domain.approvers import rules_of
from changeover.domain.instructions import open_pause
from changeover.domain.procedures import of_cutover
from changeover.domain.rollout import Approval, Cutover, CutoverStatus, StageStatus
from changeover.domain.routing import RoutingState, System
from changeover.domain.run_ends import Carrier, Work
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import OnFail
from changeover.plan.guardrails import GATE
from changeover.plan.units import format_percent
from changeover.site import (
    capacity_status,
    group_status,
    hook_status,
    keyless_status,
    node_status,
    relay_status,
    return_status,
    route_numbers,
    route_status,
    service_status,
    trigger_status,
)
from changeover.site.site import Site
from changeover.store import (
    approvals,
    carriers,
    cutovers,
    freezes,
    instructions,
    report_files,
    rollbacks,
    routing,
    samples,
    standings,
    steps,
    verdicts,
)
from changeover.store.engine import Store

WINDOW = timedelta(seconds=10)
"""Of the systems' numbers: long enough for some requests, short enough to be "now"."""
OLD_AFTER = timedelta(minutes=2)
"""The observer judges the gates of a stage every 5 to 30 s: what is older says little of now."""
_URLS = ("ui_url", "gateway", "reports_url", "console_url")


def collect(site: Site, *, now: datetime) -> dict[str, Any]:
    """Return the status of a migration.

    Keys: `migration`, `routing`, `routes` (`route_status`), `returning` (step, of how many, the
    next one's and the end's time, while users return in steps, or null), `way_back` (whether a
    rollback would fit, while the baseline is smaller than it was, or null), `gateway`, `freeze`
    (who, why, until when, or null), `cutover` (or null), `pause` (who paused it, or null), `group`
    (`group_status`, or null), `procedure` (the newest step around the stages, or null), `stages`,
    `waiting_for` (with what alarmed guardrails, or null), `guardrails` (their newest verdict, or
    null), `gates` (what those of the present stage would say now, `is_old` when nobody judged them
    of late), `hooks`, `load` (`hook_status`), `systems` (numbers of the last 10 s), `refused` (by
    the gateway itself, in the same time, by reason), `keyless`, `triggers` (`trigger_status`),
    `nodes` (`node_status`), `receivers` (`relay_status`), `services` and `comparing`
    (`service_status`), `ended_runs` (what no flow run carries on, with what happened and what can
    be done), `rollback` (the newest, or null), `report` (path or null), `report_at`, `urls`.
    """
    store, migration = site.store, site.migration
    state, cutover = routing.read(store, migration), cutovers.latest(store, migration)
    ended, settings = carriers.ended(store, migration), site.home.settings()
    guardrails = _guardrails(store, cutover) if cutover else None
    waiting = _waiting(site, _asked(store, migration, ended), guardrails)
    if waiting is not None:
        waiting["url"] = _form_of(waiting.pop("flow_run_id"), cutover, settings)
    return {
        "migration": migration,
        "routing": _routing(state), **_beside(site, state, now),
        "gateway": site.gateway.serving(state).text, "freeze": _freeze(store, migration, now),
        **_of_cutover(store, cutover, now), **_group(site, cutover, now),
        "ended_runs": _ended_runs(ended, state.describe()), "waiting_for": waiting,
        "guardrails": guardrails,
        **hook_status.collect(store, migration, cutover, now=now),
        **measured(store, migration, now),
        "keyless": keyless_status.collect(store, migration, now=now),
        **service_status.collect(store, migration, now),
        "rollback": _rollback(store, migration),
        "triggers": trigger_status.triggers(store, site.plan, now=now),
        **_report(store, migration, cutover),
        "urls": {key: settings.get(key) for key in _URLS},
    }


def _beside(site: Site, state: RoutingState, now: datetime) -> dict[str, Any]:
    numbers = route_numbers.measured(site.store, site.plan, now=now, over=WINDOW)
    return {"routes": route_status.collect(site.plan, state, numbers),
            "returning": return_status.collect(site.store, state, now=now),
            "way_back": capacity_status.collect(site.store, site.plan, now=now),
            "nodes": node_status.collect(site.store, state),
            "receivers": relay_status.collect(site.store, site.plan)}


def _routing(state: RoutingState) -> dict[str, Any]:
    return {
        "mode": str(state.mode), "percent": state.weight / 100, "text": state.describe(),
        "segments": list(state.segments), "kept_at_baseline": list(state.kept),
        "maintenance": state.maintenance,
        "version": state.version, "epoch": state.epoch,
    }


def _freeze(store: Store, migration: str, now: datetime) -> str | None:
    found = freezes.active(store, migration, now=now)
    return found.text if found else None


def _of_cutover(store: Store, cutover: Cutover | None, now: datetime) -> dict[str, Any]:
    if cutover is None:
        return {"cutover": None, "pause": None, "procedure": None, "stages": [], "gates": []}
    return {
        "cutover": _cutover(cutover),
        "pause": pause_of(store, cutover),
        "procedure": _newest_step(store, cutover),
        "stages": _stages(store, cutover),
        "gates": gates(store, cutover, now=now),
    }


def _group(site: Site, cutover: Cutover | None, now: datetime) -> dict[str, Any]:
    return {"group": group_status.collect(site.store, site.plan, cutover, now=now)}


def pause_of(store: Store, cutover: Cutover) -> dict[str, str] | None:
    """Return who paused the cutover, since when and why; None while it goes on."""
    if cutover.status is not CutoverStatus.RUNNING:
        return None
    pause = open_pause(instructions.all_of(store, cutover.id))
    if pause is None:
        return None
    return {"actor": pause.actor, "reason": pause.reason, "at": pause.at.isoformat()}


def _stages(store: Store, cutover: Cutover) -> list[dict[str, Any]]:
    return [
        {"key": stage.key, "status": str(stage.status), "round": stage.round,
         "soak_until": stage.soak_until.isoformat(), "reason": stage.reason}
        for stage in cutovers.stages(store, cutover.id)
    ]


def measured(store: Store, migration: str, now: datetime) -> dict[str, Any]:
    """Return the numbers of the last seconds; what the gateway refused is of neither system."""
    windows = {str(system): samples.window(store, migration, system, start=now - WINDOW, end=now)
               for system in System}
    # both windows hold it: what the gateway refuses it sends to neither
    gateway = windows[System.BASELINE]
    return {
        "systems": {name: _numbers(window) for name, window in windows.items()},
        "refused": {"requests": gateway.arrived, "reasons": dict(gateway.refused)},
    }


def _report(store: Store, migration: str, cutover: Cutover | None) -> dict[str, Any]:
    """Return where the newest report lies, unless it is an earlier cutover's."""
    report = report_files.latest(store, migration, "cutover")
    # an earlier cutover's report says nothing of this one
    if report is None or (cutover and report.cutover_id not in (None, cutover.id)):
        return {"report": None, "report_at": None}
    return {"report": report.html_path, "report_at": report.at.isoformat()}


def _asked(store: Store, migration: str, ended: list[Carrier]) -> Approval | None:
    """Return the question that waits for people; None when no flow run would get the answer."""
    asked = approvals.open_for(store, migration)
    if asked is None:
        return None
    # by either run of a cutover: the one that carries it, or the one that retires the baseline
    subjects = (cutovers.subject(asked.cutover_id), f"{Work.RETIREMENT} {asked.cutover_id}")
    return None if any(each.subject in subjects for each in ended) else asked


def _ended_runs(ended: list[Carrier], where: str) -> list[dict[str, Any]]:
    return [
        {"subject": each.subject, "flow": each.flow, "flow_run_id": each.flow_run_id,
         "end": str(each.end), "since": each.since.isoformat(),
         "text": run_ends.sentence(each.subject, each.ended, where)}
        for each in ended if each.ended is not None
    ]


def _rollback(store: Store, migration: str) -> dict[str, Any] | None:
    rollback = rollbacks.latest(store, migration)
    if rollback is None:
        return None
    return {
        "epoch": rollback.epoch, "reason": rollback.reason, "status": rollback.status,
        "actor": rollback.actor,
        "ended_at": rollback.ended_at.isoformat() if rollback.ended_at else None,
    }


def as_text(status: dict[str, Any]) -> str:
    """Return the status for people."""
    lines = [f"{status['migration']}: {status['routing']['text']}", f"gateway: {status['gateway']}",
             *route_status.lines(status["routes"]), *return_status.lines(status["returning"]),
             *capacity_status.lines(status["way_back"]), *_cutover_lines(status)]
    for name, numbers in status["systems"].items():
        lines.append(f"{name}: {numbers_text(numbers)}")
    lines += keyless_status.lines(status["keyless"])
    if status["refused"]["reasons"]:
        lines.append(f"gateway: {refused_text(status['refused'])}")
    lines += map(trigger_status.as_text, status["triggers"])
    lines += node_status.lines(status["nodes"]) + relay_status.lines(status["receivers"])
    lines += service_status.lines(status)
    if status["rollback"]:
        rollback = status["rollback"]
        lines.append(f"rollback {rollback['epoch']}: {rollback['status']}, {rollback['reason']}")
    if status["report"]:
        lines.append(f"report: {status['report']}")
    return "\n".join(lines)


def _cutover_lines(status: dict[str, Any]) -> list[str]:
    """Return how the cutover and its stages stand, and what nobody carries on."""
    lines = []
    if status["freeze"]:
        lines.append(f"NOBODY IS MOVED: {status['freeze']}; `changeover freeze off` ends it")
    if cutover := status["cutover"]:
        outcome = f": {cutover['outcome']}" if cutover["outcome"] else ""
        lines.append(f"cutover {cutover['id']}: {cutover['status']}{outcome}")
    if pause := status["pause"]:
        lines.append(f"PAUSED by {pause['actor']} since {pause['at'][:19]}: {pause['reason']}; "
                     "`changeover resume --reason TEXT` goes on")
    if step := status["procedure"]:
        lines.append(f"  newest step: {step['step']} {step['status']}, {step['detail']}")
    for stage in status["stages"]:
        lines.append(f"  {stage['key']}: {stage['status']} {stage['reason']}".rstrip())
    lines += hook_status.lines(status)
    lines += group_status.lines(status["group"])
    for each in status["ended_runs"]:
        lines.append(f"NOBODY CARRIES ON {each['subject']}: {each['text']}")
    if waiting := status["waiting_for"]:
        lines += _waiting_lines(waiting)
    lines += _gate_lines(status["gates"])
    if alarm := status["guardrails"]:
        lines.append(f"guardrails in {alarm['stage']}: {alarm['verdict']}, {alarm['reason']}")
    return lines


def _waiting_lines(waiting: dict[str, Any]) -> list[str]:
    """Return what people are asked, who may answer and who has agreed."""
    lines = [f"waits for approval of {waiting['stage']}: {waiting['url']}"]
    if waiting["may"]:
        lines.append(f"  who may answer: {waiting['may']}")
    if waiting["agreed"]:
        lines.append(f"  agreed: {', '.join(waiting['agreed'])}")
    return lines


def _gate_lines(judged: list[dict[str, Any]]) -> list[str]:
    lines = []
    for gate in judged:
        old = f" (judged at {gate['at'][:19]} and not since)" if gate["is_old"] else ""
        for check in gate["checks"]:
            shown = " (shown only)" if check.get("on_fail") == OnFail.SHOW else ""
            lines.append(
                f"  gate {gate['gate']}{old}: {check['standing']}{shown}: {check['reason']}")
            beside = [group_text(check), interval_text(check), outlook_text(check)]
            if details := "; ".join(filter(None, beside)):
                lines.append(f"    {details}")
    return lines


def numbers_text(numbers: dict[str, Any]) -> str:
    """Return a system's numbers of the last seconds in one phrase."""
    p95 = numbers["latency_p95_seconds"]
    shown = "–" if p95 is None else f"{p95 * 1000:.0f} ms"
    up = {None: "unknown", 1.0: "up"}.get(numbers["up"], "DOWN")
    return f"{up}, {numbers['requests']} requests, {numbers['errors']} errors, p95 {shown}"


def refused_text(refused: dict[str, Any]) -> str:
    """Return what the gateway refused in one phrase, the most frequent reason first."""
    reasons = sorted(refused["reasons"].items(), key=lambda each: (-each[1], each[0]))
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons)
    total = sum(refused["reasons"].values())
    return f"refused {total} of {refused['requests']} requests: {listed}"


def percent_text(status: dict[str, Any]) -> str:
    """Return who is on the candidate for people: `25 %`, or `beta` where only a segment is."""
    routing = status["routing"]
    share = format_percent(round(routing["percent"] * 100))
    return share if routing["percent"] or not routing["segments"] else ", ".join(
        routing["segments"])


def _newest_step(store: Store, cutover: Cutover) -> dict[str, str] | None:
    known = steps.all_of(store, cutover.migration, of_cutover(cutover.id))
    if not known:
        return None
    return {"step": known[-1].name, "status": known[-1].status, "detail": known[-1].detail}


def _waiting(
    site: Site, asked: Approval | None, guardrails: dict[str, str] | None
) -> dict[str, Any] | None:
    if asked is None:
        return None
    # an alarm of an earlier stage was answered there
    alarm = None
    if guardrails and (guardrails["stage"], guardrails["verdict"]) == (asked.stage, "fail"):
        alarm = guardrails["reason"]
    agreed = approvals.agreed(site.store, asked, site.plan)
    return {"stage": asked.stage, "approver": len(agreed) + 1, "guardrails": alarm,
            "flow_run_id": asked.flow_run_id,
            # by this process's plan; when somebody answers, the plan in force counts
            "may": rules_of(site.plan, asked.stage).text,
            "agreed": agreed}


def _form_of(run_id: str | None, cutover: Cutover | None, settings: dict[str, Any]) -> str:
    """Return the page where a question is answered."""
    # a question that names no run of its own is asked by the cutover's
    asking = run_id or (cutover and cutover.flow_run_id)
    return f"{settings.get('ui_url', '')}/runs/flow-run/{asking}"


def _guardrails(store: Store, cutover: Cutover) -> dict[str, str] | None:
    """Return the newest evaluation of the guardrails."""
    # the guardrails of a stage are judged again and again; the newest counts
    found = [each for each in verdicts.all_of(store, cutover.id) if each.gate == GATE]
    if not found:
        return None
    newest = found[-1]
    return {"stage": newest.stage, "verdict": newest.verdict, "reason": newest.reason}


STANDS = {Verdict.PASS: "would pass", Verdict.FAIL: "would fail",
          Verdict.INCONCLUSIVE: "undecided"}
"""What is said of a check while its stage soaks."""


def _stands(check: dict[str, Any]) -> str:
    return "would ask people" if asks_people(check) else STANDS[Verdict(check["verdict"])]


def gates(store: Store, cutover: Cutover, *, now: datetime) -> list[dict[str, Any]]:
    """Return what the gates of the present stage would say now; nothing when none soaks.

    Keys: `stage`, `gate`, `at`, `is_old` (no observer judged it for two minutes), `checks`: their
    evidence, each with `standing` in words.
    """
    is_running = cutover.status is CutoverStatus.RUNNING
    stages = cutovers.stages(store, cutover.id) if is_running else []
    # while people are asked, the gates have been judged already: their verdicts are in the stage
    if not stages or stages[-1].status is not StageStatus.SOAKING:
        return []
    found = []
    for gate in standings.of_stage(store, cutover.id, stages[-1].key):
        checks = [{**check, "standing": _stands(check)} for check in gate.evidence]
        found.append({
            "stage": gate.stage, "gate": gate.gate, "at": gate.at.isoformat(),
            "is_old": now - gate.at > OLD_AFTER, "checks": checks})
    return found


def _cutover(cutover: Cutover) -> dict[str, Any]:
    return {
        "id": cutover.id, "status": str(cutover.status), "outcome": cutover.outcome,
        "flow_run_id": cutover.flow_run_id, "started_at": cutover.started_at.isoformat(),
    }


def _numbers(window: Window) -> dict[str, Any]:
    return {
        "requests": window.requests,
        "errors": sum(window.errors.values()),
        "user_errors": window.user_errors,
        "latency_p95_seconds": window.measure("latency_p95").value,
        "up": window.measure("up").value,
        "memory_bytes": window.memory_bytes,
    }
