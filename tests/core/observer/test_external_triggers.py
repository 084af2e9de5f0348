"""Triggers on external metrics: a source that fails neither fires nor resets them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from changeover import clock
from changeover.domain.readings import Question, Reading
from changeover.observer.watch import Watch
from changeover.plan.model import Plan
from changeover.plan.triggers import TriggerSpec
from tests.core.observer.test_watch import plan as plan_of


class Known:
    """What sources said, as a test has set it, by second and system."""

    def __init__(self) -> None:
        self.values: dict[tuple[int, str], float | None] = {}

    def reading(self, spec: TriggerSpec, system: str, *, at: int, since: int) -> Reading | None:
        asked = Question(spec.metric, system, None, 10)
        moment = clock.from_timestamp(at)
        value = self.values.get((at, system))
        return Reading(
            asked, "prom", "sum(failed)", moment, moment, value=value,
            samples=0 if value is None else 1, problem="it is down" if value is None else "")


def plan(**trigger: Any) -> Plan:
    found = plan_of().model_dump(mode="json", by_alias=True)
    return Plan.model_validate({**found, "sources": {"prom": {
        "kind": "prometheus", "url": "http://x", "every": "1s",
        "metrics": {"failed": {"query": 'up{s="{system}"}', "unit": "share"}}}},
        "triggers": [{"name": "failing", "metric": "external.failed", "above": "5%",
                      "for": "3s", "action": "rollback", **trigger}]})


def fired(values: list[float | None], **trigger: Any) -> list[int]:
    """Return the seconds from 100 on in which the trigger fires."""
    known = Known()
    watch = Watch(plan(**trigger), known)
    found = []
    for at, value in enumerate(values, 100):
        known.values[at, "candidate"], known.values[at, "baseline"] = value, 0.01
        found += [firing.at for _, firing in watch.step(at)]
    return found


def test_a_value_fires_when_it_lasts() -> None:
    """As with every metric."""
    assert fired([0.5] * 8) == [103]
    assert fired([0.5, 0.5, 0.5, 0.01, 0.5, 0.5, 0.5, 0.01]) == []


def test_a_missing_value_neither_fires_nor_resets() -> None:
    """The hold goes on where it was when the source is back."""
    assert fired([None] * 20) == []
    assert fired([0.5, 0.5, None, None, None, 0.5, 0.5, 0.5]) == [107]
    assert fired([0.5, 0.5, None, 0.01, 0.5, 0.5, 0.5, 0.01]) == []


def test_the_baseline_is_compared() -> None:
    """Both systems are asked of the same source."""
    to_baseline = {"above": None, "ratio_to_baseline": 2}
    assert fired([0.03] * 5, **to_baseline) == [103]
    assert fired([0.015] * 5, **to_baseline) == []
    assert fired([None] * 5, **to_baseline) == []


def test_the_firing_says_which_source_said_what() -> None:
    """With what it was asked, so that a person can ask again."""
    known = Known()
    known.values = {(at, "candidate"): 0.5 for at in range(100, 110)}
    watch = Watch(plan(), known)
    ((_, firing),) = [each for at in range(100, 110) for each in watch.step(at)]
    assert firing.reason.endswith(", by source prom at 00:01:43 UTC, for 3 s")
    assert firing.evidence["external"]["own"]["value"] == 0.5
    assert firing.evidence["external"]["own"]["query"] == "sum(failed)"


def test_nothing_is_known_without_sources() -> None:
    """A trigger whose source nobody asks stays silent."""
    watch = Watch(plan())
    assert [watch.step(at) for at in range(100, 110)] == [[]] * 10
    assert watch.memory_seconds >= timedelta(minutes=1).total_seconds()
