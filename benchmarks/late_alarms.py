"""How often a healthy stage is called bad in an hour that comes after healthy hours.

    python -m benchmarks.late_alarms                 # 150 stages of each kind, five minutes
    python -m benchmarks.late_alarms --stages 50

Evidence begins anew in every minute, so each of these hours has sixty chances of its own. The stage
is looked at every half minute, as the observer looks at gates, with its own start and with all
later ones that the product weighs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import numpy as np

from benchmarks.stages import Harm, Kind, Users, requests_of, span, users_of
from benchmarks.verdicts import upper
from benchmarks.workers import many, random_of
from changeover.analysis.sequential.buckets import Counts, Split, add
from changeover.analysis.sequential.evidence import Question, log_worse
from changeover.analysis.sequential.judging import judge_by_buckets
from changeover.analysis.sequential.memo import Memo
from changeover.analysis.sequential.parts import into_parts
from changeover.analysis.sequential.slices import Slice
from changeover.analysis.sequential.slow import condition_of
from changeover.analysis.sequential.stage_sums import StageSums
from changeover.analysis.sequential.starts import log_bar, promising_starts
from changeover.domain.slices import SlowBound
from changeover.domain.verdict import Verdict
from changeover.plan.conditions import CheckSpec

HOUR, MINUTE, STEP = 3600, 60, 30
BEGIN = 1_790_000_000 // HOUR * HOUR
"""Each stage begins with an hour of the clock."""
ERRORS = CheckSpec(metric="error_rate", ratio_to_baseline=1.1)
SLOW = CheckSpec(metric="latency_p95", ratio_to_baseline=1.1)
BOUND = SlowBound(condition_of(SLOW), 100_000, 110_000)
AFTER = (6, 24)
KINDS = (
    Kind(500, 0.01), Kind(2_000, 0.001, per_second=200), Kind(500, 0.05, is_slow=True),
)


@dataclass
class Stage:
    """A stage whose users are watched.

    Args:
        kind: What is simulated.
        people: Its users.
        random: Its chance.
    """

    kind: Kind
    people: Users
    random: np.random.Generator
    past: Slice = field(init=False)
    done: list[Slice] = field(default_factory=list)
    memo: Memo = field(default_factory=Memo)

    def __post_init__(self) -> None:
        self.past = self._slice(self._span(HOUR), BEGIN - HOUR, HOUR)

    @property
    def names(self) -> tuple[str, str]:
        """Names of the counters of bad requests, and of all."""
        return (BOUND.events, BOUND.of) if self.kind.is_slow else ("errors", "requests")

    def wait(self, hours: int) -> int:
        """Let healthy hours pass, the last by the minute; return the second at their end."""
        start, until = BEGIN, BEGIN + hours * HOUR
        while start < until:
            length = HOUR if until - start > HOUR else MINUTE
            self.done.append(self._slice(self._span(length), start, length))
            start += length
        return until

    def count(self, counts: Counts, start: int, end: int) -> None:
        """Add what was counted of a minute, or of a part of it."""
        self.done.append(self._slice(counts, start, end - start))

    def sums(self, newest: Counts, start: int, end: int) -> StageSums:
        """Return the stage at a second, by the minutes before and the newest one."""
        slices = [*self.done, self._slice(newest, start, end - start)]
        parts = into_parts(slices, end)
        self.memo.forget(parts)
        first, last = (datetime.fromtimestamp(at, UTC) for at in (BEGIN, end))
        bounds = {BOUND.condition: BOUND} if self.kind.is_slow else {}
        return StageSums(
            self.kind.weight, parts, self.past, first, last, 1, bounds, memo=self.memo)

    def is_shown(self, counts: Counts, sums: StageSums) -> bool:
        """Whether harm is shown, as `judge_by_buckets` says it; without what it says besides.

        Args:
            counts: Those of the whole stage.
            sums: The stage.
        """
        is_slow, names = self.kind.is_slow, self.names
        past, margin = self.past.counts(*names), 1.0 if is_slow else 1.1
        question = Question(counts, past, Split(self.kind.weight), margin, is_slow)
        usual = self.memo.usual(self.past, *names)
        if log_worse(question, usual) >= log_bar(sums.alpha):
            return True
        for each in promising_starts(question, sums, names):
            if log_worse(each.question, each.usual) >= each.log_bar:
                return True
        return False

    def _span(self, seconds: int) -> Counts:
        return span(self.kind, self.people, seconds, self.random)

    def _slice(self, counts: Counts, start: int, length: int) -> Slice:
        events, of = self.names
        sums = {events: counts.events, of: counts.requests}
        # who came is asked of all requests, whatever is compared
        sums["requests"] = counts.requests
        return Slice(self.kind.weight, start, start + length, sums)


def alarmed(kind: Kind, hours: int, run: int) -> bool:
    """Whether a stage is called bad within the hour that follows healthy ones."""
    random = random_of(kind, run, f"late alarms {hours}")
    stage = Stage(kind, users_of(kind, random), random)
    began = minute = stage.wait(hours)
    healthy = add(each.counts(*stage.names) for each in stage.done)
    before = Counts.none()
    requests = requests_of(kind, stage.people, HOUR, random, Harm())
    for at, counts in requests.sums(np.arange(STEP, HOUR + 1, STEP, dtype=np.float64)):
        end = began + int(at)
        sums = stage.sums(counts - before, minute, end)
        if stage.is_shown(healthy + counts, sums):
            return True
        if end % MINUTE == 0:
            stage.count(counts - before, minute, end)
            before, minute = counts, end
    # what is measured must be what the product says
    said = judge_by_buckets(SLOW if kind.is_slow else ERRORS, sums).verdict
    if said is Verdict.FAIL:
        raise RuntimeError(f"stage {run} of {kind.name} fails, and was not seen to")
    return False


def show(kinds: Sequence[Kind], stages: int) -> None:
    """Print how often each kind is called bad, after how many hours."""
    print(f"healthy stages called bad in the hour after so many healthy ones, {stages} of each")
    bad = total = 0
    for kind in kinds:
        for hours in AFTER:
            found = sum(many(partial(alarmed, kind, hours), stages))
            bad, total = bad + found, total + stages
            print(f"{kind.name:40}{hours:4} h {found:4} (at most {upper(found, stages):.2%})",
                  flush=True)
    print(f"all: {bad} of {total} (at most {upper(bad, total):.2%})")


if __name__ == "__main__":
    show(KINDS, int(sys.argv[sys.argv.index("--stages") + 1]) if "--stages" in sys.argv else 150)
