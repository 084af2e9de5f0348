"""Guardrails of a plan with routes: the baseline's answers, weighed by what the candidate is asked.

A system that serves one path only answers as that path does: a page of redirects redirects always.
Against everything that the other system serves this would look like a failure. So the baseline's
share of bad answers is known for each part of the traffic, and counts as often as the candidate
gets requests of this part. Of a part that the baseline was hardly asked for, nothing is known: it
is left out. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields

from changeover.analysis.guardrails import COUNTED, ENOUGH, Usual
from changeover.analysis.summing import combined
from changeover.analysis.window import Measurements, Window
from changeover.plan.guardrails import Guardrail

MOST_REMEMBERED = 100_000
"""Requests of a part; then half of them are forgotten, so that what is new counts more."""


class Mix:
    """What the baseline answered, by part of the traffic.

    Args:
        names: The guardrails.
        parts: Names of the subsets of which each request is in one.
    """

    def __init__(self, names: Iterable[Guardrail], parts: Iterable[str]) -> None:
        self._parts = list(parts)
        self._known = {name: dict.fromkeys(self._parts, (0, 0)) for name in names}

    def learn(self, subsets: Mapping[str, Measurements]) -> None:
        """Add requests of the baseline."""
        for name, known in self._known.items():
            for part in self._parts:
                bad, total = _count(name, subsets.get(part))
                bad, total = known[part][0] + bad, known[part][1] + total
                known[part] = (bad // 2, total // 2) if total > MOST_REMEMBERED else (bad, total)

    def comparable(self, name: Guardrail, own: Window) -> tuple[Window, Usual]:
        """Return the candidate's requests that can be compared, and how the baseline answers them.

        Args:
            name: A guardrail.
            own: The candidate's last seconds.
        """
        known = self._known[name]
        parts = [part for part in self._parts if known[part][1] >= ENOUGH and part in own.subsets]
        expected, total = 0.0, 0
        for part in parts:
            _, mine = _count(name, own.subsets[part])
            bad, seen = known[part]
            expected, total = expected + mine * bad / seen, total + mine
        found = combined([_window(own.subsets[part], own.seconds) for part in parts])
        share = expected / total if total else 0.0
        return found, Usual(share, sum(known[part][1] for part in parts))


def _count(name: Guardrail, measured: Measurements | None) -> tuple[int, int]:
    return (0, 0) if measured is None else COUNTED[name][1](measured)


def _window(measured: Measurements, seconds: float) -> Window:
    sums = {each.name: getattr(measured, each.name) for each in fields(Measurements)}
    return Window(seconds=seconds, **sums)
