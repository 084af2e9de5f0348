"""Is "80 % of the time decided within X" true in 80 % of undecided stages?

    python -m benchmarks.forecasts [--long]

A stage is judged once, while it is young. Where it is undecided, the forecast is made, and the
stage goes on until it is decided. Its seeds are its own: no choice was made on them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks.stages import Harm, Kind, span, users_of
from benchmarks.workers import many, random_of
from changeover.analysis.sequential.buckets import Split
from changeover.analysis.sequential.evidence import Evidence, Question, weigh
from changeover.analysis.sequential.judging import LOG_PASS
from changeover.analysis.sequential.outlook import FARTHEST, View, look_ahead
from changeover.analysis.sequential.stage_sums import ALPHA
from changeover.analysis.sequential.starts import log_bar

PURPOSE = "forecasts"
PAST_SECONDS, SEEN_SECONDS = 3600, 600
BAR = log_bar(ALPHA)


@dataclass(frozen=True, slots=True)
class Case:
    """A stage that is judged after ten minutes.

    Args:
        kind: Its users.
        margin: The check's margin; 1 for slow requests, whose bound has it.
        times: The candidate's bad requests are so many times as frequent.
        alike: What a healthy candidate's are, by the bound with the margin on top.
    """

    kind: Kind
    margin: float
    times: float
    alike: float = 1.0

    @property
    def name(self) -> str:
        """The case in a table's cell."""
        margin = f"margin {self.margin:g}" if self.margin != 1 else "margin in the bound"
        return f"{self.kind.name}, {margin}, x {self.times:g}"


CASES = [
    *(Case(Kind(users, share, per_second=200), margin, times)
      for users, share in ((500, 0.01), (2_000, 0.001), (2_000, 0.01), (20_000, 0.001))
      for margin, times in ((1.5, 1.0), (2.0, 1.0), (2.0, 1.5))),
    *(Case(Kind(users, 0.05, per_second=50, is_slow=True), 1.0, times, 0.73)
      for users in (500, 2_000) for times in (0.73, 1.15)),
]


@dataclass(frozen=True, slots=True)
class Told:
    """What was forecast of an undecided stage, and what became of it, in seconds more."""

    within: float | None
    decided_after: float


def follow(case: Case, run: int) -> Told | None:
    """Return what was forecast and what came; None where the stage is decided at once."""
    kind, harm = case.kind, Harm(times=case.times)
    random = random_of(kind, run, f"{PURPOSE} {case.margin:g} {case.times:g}")
    people = users_of(kind, random)
    past = span(kind, people, PAST_SECONDS, random)
    counts = span(kind, people, SEEN_SECONDS, random, harm)
    question = Question(counts, past, Split(kind.weight), case.margin, kind.is_slow)
    if is_decided(weigh(question)):
        return None
    found = look_ahead(View(question, SEEN_SECONDS, BAR, LOG_PASS, alike=case.alike))
    step, after = SEEN_SECONDS / 20, 0.0
    while after < FARTHEST * SEEN_SECONDS:
        # looked at as often as a stage is at first, then less often
        step = max(step, after / 12)
        after += step
        counts = counts + span(kind, people, step, random, harm)
        if is_decided(weigh(Question(
                counts, past, question.split, case.margin, kind.is_slow))):
            return Told(found and found.seconds, after)
    return Told(found and found.seconds, math.inf)


def is_decided(found: Evidence) -> bool:
    """Whether a check passes or fails."""
    better = found.log_better
    return found.log_worse >= BAR or (better is not None and better >= LOG_PASS)


def show_forecasts(stages: int) -> None:
    """Print how often undecided stages were decided within the time that was forecast."""
    print(f"\nundecided after ten minutes: decided within the time that is said for 80 %, {stages} "
          "stages of each kind")
    print(f"{'':60}{'undecided':>10}{'told':>6}{'within':>8}{'not told: later':>17}")
    every: list[Told] = []
    for case in CASES:
        found = [each for each in many(partial(follow, case), stages) if each is not None]
        every += found
        print(_line(case.name, found), flush=True)
    print(_line("all", every))


def _line(name: str, found: Sequence[Told]) -> str:
    told = [each for each in found if each.within is not None]
    later = [each for each in found if each.within is None]
    within = _share([each.decided_after <= (each.within or 0) for each in told])
    is_later = _share([math.isinf(each.decided_after) for each in later])
    return f"{name:60}{len(found):10}{len(told):6}{within:>8}{is_later:>17}"


def _share(found: Sequence[bool]) -> str:
    return f"{sum(found) / len(found):.0%}" if found else "-"


if __name__ == "__main__":
    show_forecasts(400 if "--long" in sys.argv else 40)
