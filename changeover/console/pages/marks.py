"""The decisions that charts show as vertical lines, and the share of users over time."""

from __future__ import annotations

from changeover.console.pages.charts import Chart, Line, Mark, Tone
from changeover.console.pages.view import Look
from changeover.domain.audit import AuditEvent
from changeover.domain.event_words import MarkKind, mark_of
from changeover.store import audit

KINDS = ("stage.entered", "cutover.promoted", "stage.held", "rollback.started", "trigger.fired")
SHARE_KINDS = ("routing.changed", "rollback.started")
KEPT_SECONDS = 2.0
MOST_MARKS = 40
"""More of them would hide the lines; the newest are shown."""
_TONES: dict[MarkKind, Tone] = {
    "promotion": "good", "hold": "warn", "rollback": "bad", "trigger": "bad"}


def marks(look: Look, start: float) -> list[Mark]:
    """Return the decisions since a moment, oldest first.

    Args:
        look: Of which migration.
        start: Unix seconds.
    """
    titles = titles_of(look)
    found = []
    for event in events(look, KINDS):
        at = event.at.timestamp()
        mark = mark_of(event, titles)
        if mark is not None and at >= start:
            found.append(Mark(at, mark[1], _TONES[mark[0]]))
    return found[-MOST_MARKS:]


def share_chart(look: Look, start: float) -> Chart:
    """Return the decided share of users on the candidate over time."""
    times, values, now = [start], [0.0], look.now.timestamp()
    for event in events(look, SHARE_KINDS):
        weight = event.data.get("weight")
        if weight is None:
            continue
        # the newest change before the range is the share with which it begins
        if event.at.timestamp() <= start:
            values = [int(weight) / 100]
        else:
            times.append(event.at.timestamp())
            values.append(int(weight) / 100)
    line = Line("decided share", "candidate", [*values, values[-1]], is_stepped=True)
    return Chart(
        "share", "Users on the candidate", "%", [*times, now], [line],
        marks(look, start), least_top=100, span=(start, now))


def shares(look: Look) -> list[tuple[float, float]]:
    """Return each change of the decided share: Unix seconds, and percent from then on."""
    found = [(0.0, 0.0)]
    for event in events(look, SHARE_KINDS):
        weight = event.data.get("weight")
        if weight is not None:
            found.append((event.at.timestamp(), int(weight) / 100))
    return found


def titles_of(look: Look) -> dict[str, str]:
    """Return the stages' titles by their keys."""
    return {stage.key: stage.title for stage in look.site.plan.stages()}


def events(look: Look, kinds: tuple[str, ...]) -> list[AuditEvent]:
    """Return the audit's events of some kinds, oldest first; two seconds old at most."""
    def read() -> list[AuditEvent]:
        found: list[AuditEvent] = []
        for kind in kinds:
            found += audit.of_kind(look.site.store, look.migration, kind)
        found.sort(key=lambda each: each.seq)
        return found

    return look.kept.get(("events", kinds), KEPT_SECONDS, look.now.timestamp(), read)
