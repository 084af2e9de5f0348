"""The guardrails that roll back, second by second, over the recent samples."""

from __future__ import annotations

import logging

from changeover.analysis.guardrail_mix import Alarm, Lately, Mix
from changeover.analysis.guardrail_rollback import takes_all, usual_of
from changeover.analysis.guardrails import COUNTED, ENOUGH
from changeover.analysis.trigger import Firing
from changeover.analysis.window import Sample, Window, combine
from changeover.observer.recent import Recent
from changeover.plan.guardrails import MEANINGS, Guardrail
from changeover.plan.model import Plan
from changeover.plan.subsets import parts_in_words, parts_of_traffic

LOG = logging.getLogger(__name__)
GUARDRAIL_WINDOWS = (5, 10, 30, 60)
"""Windows of a guardrail in seconds: the shortest with enough requests is used."""
GUARDRAIL_SECONDS = 3
"""Seconds for which all requests must end badly before a guardrail rolls back."""


class GuardrailWatch:
    """Steps the guardrails that roll back.

    Args:
        plan: The plan, which may turn some off.
        recent: The recent samples.
    """

    def __init__(self, plan: Plan, recent: Recent) -> None:
        self._names = [name for name in COUNTED if plan.guardrails.is_on(name)
                       and MEANINGS[name].rolls_back]
        self._recent = recent
        self._alarmed: dict[Guardrail, int] = {}
        self._withheld_to = 0
        self._baseline_before: Window | None = None
        parts = parts_of_traffic(plan)
        self._mix = Mix(self._names, parts, GUARDRAIL_WINDOWS) if parts else None
        self._told: set[Guardrail] = set()

    def know_baseline(self, window: Window) -> None:
        """Remember how the baseline answered while it served users."""
        self._baseline_before = window
        if self._mix is not None:
            self._mix.learn_before(window)

    def learn(self, at: int) -> None:
        """Learn from one more second how the baseline answers.

        It is kept for when the baseline serves nobody: then there is nothing to compare with.
        """
        baseline = self._last_requests("baseline", at) if self._names else None
        if baseline is not None:
            self._baseline_before = baseline
        if self._mix is not None:
            for row in self._recent.seconds("baseline", at, at + 1):
                self._mix.learn(row.subsets)

    def restart(self) -> None:
        """Forget for how long all was wrong."""
        self._alarmed.clear()

    def withhold(self, second: int) -> None:
        """Note that in this second back-pressure answered in the candidate's place."""
        self._withheld_to = max(self._withheld_to, second)

    def set_back(self, to: int) -> None:
        """Note that the clock was set back to a second."""
        self._alarmed.clear()
        self._withheld_to = min(self._withheld_to, to)

    def step(self, at: int) -> list[Firing]:
        """Return the guardrails for which everything has gone wrong for `GUARDRAIL_SECONDS` now.

        A guardrail fires once, and again only after it was quiet for a second.
        """
        if not self._names:
            return []
        # nobody asked the candidate in this second: it starts again with a clean slate
        if at <= self._withheld_to:
            self._alarmed.clear()
            return []
        self.learn(at)
        alarms = self._of_parts(self._mix, at) if self._mix else self._of_everything(at)
        fired = []
        for name in self._names:
            alarm = alarms.get(name)
            lasted = self._alarmed.get(name, 0) + 1 if alarm else 0
            self._alarmed[name] = lasted
            # equal, not above: it fires once, and again only after a second in which all was well
            if alarm and lasted == GUARDRAIL_SECONDS:
                fired.append(_firing(name, alarm, at, lasted))
        return fired

    def _of_everything(self, at: int) -> dict[Guardrail, Alarm]:
        """Return why guardrails roll back by the last seconds of two systems that serve the same.
        """
        own, before = self._last_requests("candidate", at), self._baseline_before
        if own is None or before is None:
            return {}
        found = {}
        for name in self._names:
            if why := takes_all(name, own, usual_of(name, before)):
                found[name] = Alarm(why, ())
        return found

    def _of_parts(self, mix: Mix, at: int) -> dict[Guardrail, Alarm]:
        """Return why guardrails roll back by the parts that both systems serve."""
        longest = GUARDRAIL_WINDOWS[-1]
        lately = Lately(self._rows("candidate", at, longest),
                        self._rows("baseline", at, longest), at)
        # most seconds before a stage
        if not any(row.requests for row in lately.own):
            return {}
        found = {name: alarm for name in self._names if (alarm := mix.alarm(name, lately))}
        self._tell([name for name in self._names
                    if name not in self._told and mix.unknown(name, lately)])
        return found

    def _tell(self, unknown: list[Guardrail]) -> None:
        """Say once which guardrails roll nobody back: nobody would expect that."""
        if unknown:
            LOG.warning(
                "guardrails %s roll nobody back for now: nobody knows how the baseline answers "
                "what the candidate is asked; gates, triggers and the fast path still see it",
                ", ".join(unknown))
            self._told.update(unknown)

    def _last_requests(self, system: str, at: int) -> Window | None:
        """Return a system's last seconds with enough requests; None when there are not so many."""
        for seconds in GUARDRAIL_WINDOWS:
            found = self._rows(system, at, seconds)
            if sum(row.requests for row in found) >= ENOUGH:
                return combine(found, seconds=seconds)
        return None

    def _rows(self, system: str, at: int, seconds: int) -> list[Sample]:
        # never across a time of back-pressure: those requests went to the baseline
        start = max(at - seconds + 1, self._recent.since, self._withheld_to + 1)
        return self._recent.seconds(system, start, at + 1)


def _firing(name: Guardrail, alarm: Alarm, at: int, lasted: int) -> Firing:
    evidence = {"metric": MEANINGS[name].metric, "of": "candidate", "second": at}
    compared = ""
    if alarm.parts:
        evidence["parts"] = list(alarm.parts)
        compared = f", compared: {parts_in_words(alarm.parts)}"
    return Firing(trigger=f"guardrail {name}", reason=f"{alarm.reason}, for {lasted} s{compared}",
                  at=at, evidence=evidence)
