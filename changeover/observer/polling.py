"""Asking external sources again and again while somebody wants their values, one thread each.

Neither the observer's second nor the standings wait for a source: they take what is known.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from changeover import clock
from changeover.domain.readings import Question, Reading
from changeover.plan.external import externals
from changeover.plan.triggers import TriggerSpec
from changeover.procedures.external import ReadSources
from changeover.site.site import Site
from changeover.sources.ask import ask

PAUSE_SECONDS = 0.5
WANTED_SECONDS = 150.0
"""What nobody asked about for so long is asked of no source any more; gates ask every 5 to 30 s."""
MOST_KEPT = 1_000
"""Readings of one trigger that are kept: with one a second, a quarter of an hour."""

Key = tuple[str, str, int]
"""Source, who wants to know, and which of the questions of that one."""


@dataclass
class _Wanted:
    """A question that is asked again and again, with its answers, the newest last."""

    question: Question
    until: float
    asked: float = float("-inf")
    since: int = 0
    readings: deque[Reading] = field(default_factory=lambda: deque(maxlen=MOST_KEPT))

    def asked_now(self) -> Question:
        """Return the question; its window does not reach back before `since`, as no window does."""
        known = int(clock.now().timestamp()) - self.since
        return replace(self.question, window=max(1, min(self.question.window, known)))


class SourcePolls:
    """Asks the external sources of one migration.

    Args:
        site: The migration on this machine.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known = externals(site.plan)
        self._lock = threading.Lock()
        # triggers always want theirs; gates ask for theirs while a stage soaks
        self._wanted: dict[Key, _Wanted] = {}
        for spec in site.plan.triggers:
            if not spec.is_external:
                continue
            systems = {spec.of, "baseline"} if spec.is_to_baseline else {spec.of}
            for system in systems:
                self._want(self._key(spec, system), _question(spec, system), float("inf"))

    def watch(self, source: str, stop: threading.Event) -> None:
        """Ask a source whenever one of its questions is due, until `stop`."""
        every = self._site.plan.sources[source].every.total_seconds()
        while not stop.wait(PAUSE_SECONDS):
            for wanted in self._due(source, every):
                # outside of the lock: a slow source must not keep others waiting
                reading = ask(self._site.plan, self._site.folder, wanted.asked_now())
                wanted.readings.append(reading)

    def of_gate(self, gate: str) -> ReadSources:
        """Return how a gate's questions get their readings: from what was said last."""
        def read(questions: Sequence[Question]) -> dict[Question, Reading]:
            found = {}
            for index, question in enumerate(questions):
                found[question] = self._newest(gate, index, question)
            return found
        return read

    def reading(self, spec: TriggerSpec, system: str, *, at: int, since: int) -> Reading | None:
        """Return what a source had said of a trigger's metric by the end of a second.

        Args:
            spec: The trigger.
            system: Whose value.
            at: Unix second.
            since: What is of a time before this second does not count.
        """
        external = self._known[spec.metric]
        wanted = self._wanted[self._key(spec, system)]
        wanted.since = since
        end = clock.from_timestamp(at + 1)
        # a copy: the source's thread adds to it meanwhile
        for reading in reversed(list(wanted.readings)):
            # after a pause, seconds of the past know nothing of later answers
            if reading.answered_at <= end:
                began = clock.from_timestamp(since)
                return reading.at(end, external.source.max_age) if reading.of >= began else None
        return None

    def _newest(self, gate: str, index: int, question: Question) -> Reading:
        external = self._known[question.metric]
        now = clock.now()
        key = external.source_name, f"gate {gate}", index
        wanted = self._want(key, question, time.monotonic() + WANTED_SECONDS)
        if wanted.readings:
            return wanted.readings[-1].at(now, external.source.max_age)
        return Reading(question, external.source_name, "", now, now,
                       problem="it has not been asked yet")

    def _want(self, key: Key, question: Question, until: float) -> _Wanted:
        with self._lock:
            wanted = self._wanted.get(key)
            # a plan that was edited may ask something else at the same place
            if wanted is None or not _is_alike(wanted.question, question):
                wanted = self._wanted[key] = _Wanted(question, until)
            # only the window differs: it grows while the stage is young
            wanted.question, wanted.until = question, until
            return wanted

    def _due(self, source: str, every: float) -> list[_Wanted]:
        """Return a source's questions that are due; they count as asked now."""
        now, due = time.monotonic(), []
        with self._lock:
            # a stage that ended, or a gate that an amended plan has no more
            for key, each in list(self._wanted.items()):
                if each.until < now:
                    del self._wanted[key]
            for key, wanted in self._wanted.items():
                if key[0] == source and now - wanted.asked >= every:
                    # before the answer, so that a slow source is not asked a second time meanwhile
                    wanted.asked = now
                    due.append(wanted)
        return due

    def _key(self, spec: TriggerSpec, system: str) -> Key:
        index = ("baseline", "candidate").index(system)
        return self._known[spec.metric].source_name, f"trigger {spec.name}", index


def _question(spec: TriggerSpec, system: str) -> Question:
    return Question(
        spec.metric, system, spec.segment, max(1, int(spec.window.total_seconds())))


def _is_alike(one: Question, other: Question) -> bool:
    return (one.metric, one.system, one.segment) == (other.metric, other.system, other.segment)
