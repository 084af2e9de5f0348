"""What people are sent when they are asked: where to answer, about what, and the evidence."""

from __future__ import annotations

from datetime import datetime, timedelta

from changeover.domain.messages import Message, Severity
from changeover.domain.rollout import Approval
from changeover.flags.state import BASE
from changeover.plan.model import Plan
from changeover.plan.procedures import PatienceSpec
from changeover.plan.units import format_duration
from changeover.site.site import Site
from changeover.store import approvals, cutovers, messages, verdicts

MOST_REMINDERS = 50
"""Of one question: who has not answered by then is not waiting for a message."""
LONGEST = 600
"""Characters of the evidence: a message is read on a telephone."""


def announcement(site: Site, asked: Approval) -> Message:
    """Return the message that a person is asked."""
    stage = _title(site.plan, asked.stage)
    title = f"{_where(site)} waits for approval of {stage}"
    about = "", Severity.WARNING, title
    return _message(site, asked, about, asked.asked_at)


def put_reminders(site: Site, *, now: datetime) -> int:
    """Save the reminders of the question that waits; return how many are new."""
    if not site.plan.notify:
        return 0
    asked = approvals.open_for(site.store, site.migration)
    if asked is None:
        return 0
    number = 0
    for message in _reminders(site, asked, now):
        number += messages.put(site.store, message, is_once=True)
    return number


def _reminders(site: Site, asked: Approval, now: datetime) -> list[Message]:
    waited = now - asked.asked_at
    lasting = format_duration(_rounded(waited))
    stage = _title(site.plan, asked.stage)
    what = f"{_where(site)} has waited for {lasting} for an answer about {stage}"
    found = []
    for part, severity in due(site.plan.patience, waited):
        found.append(_message(site, asked, (f"-{part}", severity, what), now))
    return found


def due(patience: PatienceSpec, waited: timedelta) -> list[tuple[str, Severity]]:
    """Return the newest reminder that is due, and the escalation if it is. Pure.

    Args:
        patience: How long to wait before each; 0: never.
        waited: How long the question has been unanswered.

    Returns:
        Pairs of a name, the same for the same reminder, and its severity.
    """
    found: list[tuple[str, Severity]] = []
    if patience.remind and waited >= patience.remind:
        # only the newest: after a night without the observer, ten at once would help nobody
        number = min(MOST_REMINDERS, int(waited / patience.remind))
        found.append((f"remind-{number}", Severity.WARNING))
    if patience.escalate and waited >= patience.escalate:
        found.append(("escalate", Severity.CRITICAL))
    return found


def _message(
    site: Site, asked: Approval, about: tuple[str, Severity, str], now: datetime
) -> Message:
    """Return a message about a question, with where to answer and the evidence.

    Args:
        site: The migration.
        asked: The question.
        about: What tells it from others about the same question, its severity, its title.
        now: The present moment.
    """
    part, severity, title = about
    cutover = cutovers.get(site.store, asked.cutover_id)
    run = asked.flow_run_id or cutover.flow_run_id
    url = f"{site.home.settings().get('ui_url', '')}/runs/flow-run/{run}"
    lines = [f"Answer at {url} or with: changeover approve promote --approver YOU"]
    lines += _evidence(site, asked)
    if agreed := approvals.agreed(site.store, asked, site.plan):
        listed = ", ".join(agreed)
        lines.append(f"Approver {len(agreed) + 1}: {listed} has agreed already.")
    key = f"approval-{asked.id}{part}"
    return Message(
        site.migration, key=key, severity=severity, title=title,
        body="\n".join(lines), at=now)


def _evidence(site: Site, asked: Approval) -> list[str]:
    """Return the newest verdict of each gate of the stage, with values and bounds, a line each."""
    newest = {}
    for known in verdicts.all_of(site.store, asked.cutover_id, asked.stage):
        newest[known.gate] = known
    found = []
    for gate, known in newest.items():
        # the checks that made the verdict say why; a failed gate's passed ones do not
        checks = []
        for check in known.evidence:
            if check.get("verdict") == known.verdict:
                checks.append(str(check.get("reason", "")))
        text = "; ".join(checks) or known.reason
        cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
        found.append(f"{gate}: {known.verdict}. {cut}")
    return found


def _where(site: Site) -> str:
    environment = site.environment
    if environment == BASE:
        return site.migration
    return f"{site.migration} ({environment})"


def _title(plan: Plan, subject: str) -> str:
    """Return the stage's title; what people are asked about besides stages has none."""
    titles = {stage.key: stage.title for stage in plan.stages()}
    return titles.get(subject, subject)


def _rounded(waited: timedelta) -> timedelta:
    """Return whole minutes, and whole hours from a day on."""
    step = 3600 if waited > timedelta(days=1) else 60
    seconds = int(waited.total_seconds() // step) * step
    return timedelta(seconds=max(60, seconds))
