"""Comparing one exchange: the candidate is asked, for some the baseline again, then it is judged.

It is done in the process that reads the tap, or in several others (`helpers`), with the same code.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from changeover import clock
from changeover.comparison.answers import Answer
from changeover.domain.comparisons import Compared
from changeover.domain.rewriting import routes_for
from changeover.domain.routing import System
from changeover.plan.comparing import ShadowSpec
from changeover.plan.model import Plan
from changeover.shadow.calls import SAFE, Caller, OwnFault, has_part_only
from changeover.shadow.judging import Answers, Asked, Judge, answer_of
from changeover.shadow.pulse import Pulse
from changeover.shadow.tap import Exchange


class Compares(Protocol):
    """Compares exchanges, here or in other processes."""

    @property
    def text(self) -> str:
        """How it stands, for people; empty when there is nothing to say."""

    def pause(self, why: str) -> None:
        """Send no copy any more, from now on, because of `why`; empty: send them again."""

    async def compare(self, exchange: Exchange, *, saves_answers: bool) -> Compared | str:
        """Return the comparison, or the reason why there is none."""

    async def run(self) -> None:
        """Work until cancelled."""

    async def close(self) -> None:
        """Close connections, end processes."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a process that compares has to know.

    Args:
        plan: The plan; its `shadow` part is there.
        among: How many processes share what the baseline takes at once.
    """

    plan: Plan
    among: int = 1

    @property
    def spec(self) -> ShadowSpec:
        """The plan's `shadow` part."""
        if self.plan.shadow is None:
            raise ValueError("the plan has no shadow part")
        return self.plan.shadow


def most_at_once(plan: Plan, system: System) -> int:
    """Return how many copies a system may get at once."""
    spec = Work(plan).spec
    return min(spec.concurrency, plan.system(system).concurrency or spec.concurrency)


class Comparing:
    """Compares in this process.

    Args:
        work: The plan, and how many share it.
        chance: Source of randomness, for the order of calls and the choice of noise pairs.
        now: Returns the time, for rules that expire.
    """

    def __init__(
        self, work: Work, *, chance: random.Random | None = None, now: clock.Clock = clock.now,
    ) -> None:
        self._plan, self._spec, self._now = work.plan, work.spec, now
        self._chance = chance or random.Random()  # noqa: S311  no secret depends on it
        self._pulse = Pulse()
        self._paused = ""
        self._today = now().date()
        self._judge = self._judge_of_today()
        timeout = self._spec.timeout.total_seconds()
        self._callers = {
            system: Caller(
                self._plan.system(system), timeout=timeout, pulse=self._pulse,
                # whoever hands out exchanges keeps the candidate's limit, for all of them together
                concurrency=max(1, most_at_once(self._plan, system) // (
                    work.among if system is System.BASELINE else 1)),
                routes=routes_for(self._plan, system))
            for system in System}

    @property
    def text(self) -> str:
        """Nothing: there is one process."""
        return ""

    def pause(self, why: str) -> None:
        """Send no copy any more, from now on, because of `why`; empty: send them again."""
        self._paused = why

    async def run(self) -> None:
        """Measure how late this process is until cancelled."""
        await self._pulse.run()

    async def close(self) -> None:
        """Close the connections."""
        for caller in self._callers.values():
            await caller.close()

    async def compare(self, exchange: Exchange, *, saves_answers: bool) -> Compared | str:
        """Ask the candidate, and for some the baseline again, in random order; compare.

        Returns the reason when nothing may be sent any more, or when the baseline's answer is
        missing or cannot be unpacked: then there is nothing to compare with.
        """
        if self._paused:
            return self._paused
        try:
            baseline = await self._whole(exchange)
        except OwnFault:
            return "dropped: service was late itself"
        if baseline.error and baseline.status:
            return "dropped: body not readable"
        if baseline.error:
            return "dropped: no whole answer from the baseline"
        answers = await self._ask(exchange)
        if isinstance(answers, str):
            return answers
        # rules may expire while this runs
        if self._now().date() != self._today:
            self._today = self._now().date()
            self._judge = self._judge_of_today()
        return self._judge.judge(
            Asked(exchange.at, exchange.line, exchange.request_id),
            Answers(baseline, answers[System.CANDIDATE], answers.get(System.BASELINE)),
            saves_answers=saves_answers,
        )

    async def _whole(self, exchange: Exchange) -> Answer:
        """Return the baseline's answer: the user's, or another one when the user got a part only.

        Raises:
            OwnFault: As `Caller.call`.
        """
        if has_part_only(exchange):
            return await self._callers[System.BASELINE].call(exchange)
        return answer_of(
            exchange.status, exchange.response_headers, exchange.response_body, exchange.duration)

    async def _ask(self, exchange: Exchange) -> dict[System, Answer] | str:
        """Return the copies' answers, the candidate's at least; else why there is none."""
        asked = [System.CANDIDATE]
        if exchange.method in SAFE and self._chance.random() * 100 < self._spec.noise:
            asked.append(System.BASELINE)
            # In random order: neither answer is always the later one.
            self._chance.shuffle(asked)
        answers: dict[System, Answer] = {}
        for system in asked:
            if why := self._paused:
                if System.CANDIDATE in answers:
                    # Its answer counts; only the baseline's second one is not asked for.
                    break
                return why
            try:
                answers[system] = await self._callers[system].call(exchange)
            except OwnFault:
                if system is System.CANDIDATE:
                    return "dropped: service was late itself"
        return answers

    def _judge_of_today(self) -> Judge:
        return Judge.of(
            self._spec, self._plan.comparison, today=self._today, routes=self._plan.routes)
