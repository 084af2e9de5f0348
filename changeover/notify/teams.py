"""Teams of a plan's `notify`: each is told of the decisions that it answers for, in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from changeover.domain.audit import AuditEvent
from changeover.domain.event_words import Tone, words_of
from changeover.domain.messages import Severity
from changeover.domain.relays import target_of_team
from changeover.notify.channels import channel_of, moment, send
from changeover.plan.model import Plan
from changeover.plan.procedures import NotifySpec

_SEVERITIES: dict[Tone, Severity] = {
    "plain": Severity.INFO, "good": Severity.INFO, "warn": Severity.WARNING,
    "bad": Severity.CRITICAL}


class Team:
    """One team, told of one decision after the other.

    Args:
        plan: The plan, whose stages have titles.
        spec: What it says of the team.
    """

    most_at_once = 1
    give_up_after = timedelta(days=1)

    def __init__(self, plan: Plan, spec: NotifySpec) -> None:
        self.target = target_of_team(str(spec.team))
        self.kinds: Sequence[str] = spec.events or []
        self._spec, self._migration = spec, plan.migration
        self._titles = {stage.key: stage.title for stage in plan.stages()}

    def deliver(self, events: Sequence[AuditEvent]) -> str:
        """Send decisions; return why they were not taken, without the address."""
        channel = channel_of(self._spec)
        if channel is None:
            return f"the variable {self._spec.env} is not set"
        for event in events:
            words = words_of(event, self._titles)
            facts = {"migration": self._migration, "at": moment(event.at), "event": event.kind,
                     "team": str(self._spec.team)}
            if problem := send(
                    channel, title=f"{self._migration}: {words.title}", body=words.detail,
                    severity=_SEVERITIES[words.tone], facts=facts):
                return problem
        return ""


def unreachable(plan: Plan) -> list[str]:
    """Return a sentence for each team whose variable is not set here."""
    return [f"team {spec.team}: the variable {spec.env} is not set" for spec in plan.notify
            if spec.team and channel_of(spec) is None]


def teams_of(plan: Plan) -> list[Team]:
    """Return the teams that can be told here."""
    return [Team(plan, spec) for spec in plan.notify
            if spec.team and channel_of(spec) is not None]
