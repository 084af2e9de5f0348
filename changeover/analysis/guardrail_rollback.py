"""When guardrails roll back between gates: nearly all requests of the candidate end badly. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from changeover.analysis.guardrails import COUNTED, ENOUGH, FAR_MORE, FEWEST_USERS
from changeover.analysis.window import Met, Window
from changeover.plan.guardrails import MEANINGS, Guardrail
from changeover.plan.metrics import METRICS, format_value

NEARLY_ALL = 0.95
"""Share of the candidate's requests that must end badly."""


@dataclass(frozen=True, slots=True)
class Usual:
    """How the baseline answers requests like the candidate's.

    Args:
        share: Share of them that it answers badly, 0..1.
        requests: In how many requests that was seen.
    """

    share: float
    requests: int


def usual_of(name: Guardrail, baseline: Window) -> Usual:
    """Return what a guardrail of `COUNTED` counts of the baseline."""
    bad, total = COUNTED[name][1](baseline)
    return Usual(bad / total if total else 0.0, total)


def takes_all(name: Guardrail, own: Window, usual: Usual | None) -> str | None:
    """Return why a guardrail rolls back: nearly every request of the candidate ends badly, and the
    baseline's do not. None while that is not so, or not known.

    Args:
        name: A guardrail of `COUNTED`.
        own: The candidate's last seconds.
        usual: The baseline's, of the same time or of the last time when it served users.
    """
    kind, count = COUNTED[name]
    bad, total = count(own)
    users = own.users.get(kind, ())
    if total < ENOUGH or bad < NEARLY_ALL * total or usual is None:
        return None
    # One broken client may send nearly all requests of a quiet time.
    if own.users.get(Met.ANSWER) and len(users) < FEWEST_USERS:
        return None
    if usual.requests < ENOUGH or bad / total - usual.share <= FAR_MORE:
        return None
    metric = METRICS[MEANINGS[name].metric]
    value = format_value(metric, bad / total)
    other = format_value(metric, usual.share)
    return (f"{metric.name} of candidate {value} in {total} requests "
            f"of {len(users) or 'unknown'} or more users, of the baseline "
            f"{other} in {usual.requests}")
