"""What of a day is worth a person's time, and how urgent its summary is. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from changeover.domain.health import HealthResult, Status
from changeover.domain.messages import Severity
from reports.daily.model import DailySummary, HealthOfDay
from reports.model import Moment

_BAD_FROM = Status.UNHEALTHY
_ROUTINE = (
    "gate.judged", "people.told", "report.written", "load.began", "load.ended", "lever.pulled",
    "step.begun", "step.done", "suite.pass", "approval.asked", "plan.registered",
)
"""What happens by itself and needs nobody, unless something is wrong about it."""


def worth_telling(moments: Iterable[Moment]) -> tuple[tuple[Moment, ...], int]:
    """Return the moments that changed something or went wrong, and how many others there were."""
    told, others = [], 0
    for moment in moments:
        is_routine = moment.kind in _ROUTINE and moment.tone in ("plain", "good")
        if is_routine:
            others += moment.count
        else:
            told.append(moment)
    return tuple(told), others


def health_of_day(
    latest: Sequence[HealthResult], found: Sequence[HealthResult]
) -> tuple[HealthOfDay, ...]:
    """Return each check over a day, the worst first.

    Args:
        latest: The newest result of each check.
        found: All results of the day, oldest first.
    """
    order = list(Status)
    by_check: dict[str, list[HealthResult]] = defaultdict(list)
    for each in found:
        by_check[each.check].append(each)
    days = []
    for now in latest:
        statuses = [Status(each.status) for each in by_check[now.check]] or [Status(now.status)]
        bad = [each for each in statuses if order.index(each) >= order.index(_BAD_FROM)]
        worst = max(statuses, key=order.index)
        days.append(HealthOfDay(
            now.check, str(now.status), now.detail, str(worst), len(statuses), len(bad)))
    return tuple(sorted(days, key=lambda each: (
        -order.index(Status(each.status)), -each.not_good, each.check)))


def severity(day: DailySummary) -> Severity:
    """Return how urgent a summary is: a warning when people are needed, else information.

    Never critical: what is critical was sent when it happened.
    """
    is_ill = any(Status(each.status) not in (Status.HEALTHY, Status.WARNING)
                 for each in day.health)
    rolled_back = any(each.kind.startswith("rollback.") for each in day.changes)
    if day.waiting or is_ill or day.firings or rolled_back or day.new_differences:
        return Severity.WARNING
    return Severity.INFO
