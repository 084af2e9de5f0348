"""The guardrails that roll back, second by second, over the recent samples."""

from __future__ import annotations

from changeover.analysis.guardrail_mix import Mix
from changeover.analysis.guardrails import COUNTED, ENOUGH, takes_all, usual_of
from changeover.analysis.trigger import Firing
from changeover.analysis.window import Window, combine
from changeover.observer.recent import Recent
from changeover.plan.guardrails import MEANINGS, Guardrail
from changeover.plan.model import Plan
from changeover.plan.subsets import parts_of_traffic

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
        self._mix = Mix(self._names, parts) if parts else None

    def know_baseline(self, window: Window) -> None:
        """Remember how the baseline answered while it served users."""
        self._baseline_before = window
        if self._mix is not None:
            self._mix.learn(window.subsets)

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
        own = self._last_requests("candidate", at)
        fired = []
        for name in self._names:
            why = own and self._why(name, own)
            lasted = self._alarmed.get(name, 0) + 1 if why else 0
            self._alarmed[name] = lasted
            # equal, not above: it fires once, and again only after a second in which all was well
            if why and lasted == GUARDRAIL_SECONDS:
                fired.append(Firing(
                    trigger=f"guardrail {name}", reason=f"{why}, for {lasted} s", at=at,
                    evidence={"metric": MEANINGS[name].metric, "of": "candidate", "second": at}))
        return fired

    def _why(self, name: Guardrail, own: Window) -> str | None:
        """Return why a guardrail rolls back by the candidate's last seconds."""
        # the two systems of a plan with routes serve different paths
        if self._mix is not None:
            return takes_all(name, *self._mix.comparable(name, own))
        before = self._baseline_before
        return takes_all(name, own, None if before is None else usual_of(name, before))

    def _last_requests(self, system: str, at: int) -> Window | None:
        """Return a system's last seconds with enough requests; None when there are not so many."""
        for seconds in GUARDRAIL_WINDOWS:
            # never across a time of back-pressure: those requests went to the baseline
            start = max(at - seconds + 1, self._recent.since, self._withheld_to + 1)
            found = self._recent.seconds(system, start, at + 1)
            if sum(row.requests for row in found) >= ENOUGH:
                return combine(found, seconds=seconds)
        return None
