"""Has each issue done once: whose turn it is, the claim, the work, what it was worth.

1. The console says whose turn it is. In parallel mode the other system gets the issue too, without
   a token, so that it has no effect and its quality is measured: the two results are compared.
2. The issue is claimed, and the claim renewed while somebody works; what another delivery holds or
   has done is not done again.
3. The system works. When the candidate fails, the claim goes to the baseline, which works instead;
   in candidate_only the plan has everyone rolled back then.
4. The claim is completed and every outcome reported: gates and triggers read them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import HTTPException
from pydantic import BaseModel, Field, ValidationError

from examples.agents.console import Console, Grant
from examples.agents.events import IssueEvent
from examples.agents.faults import Faults
from examples.agents.settings import Settings

LOG = logging.getLogger("examples.agents")
OTHER = {"baseline": "candidate", "candidate": "baseline"}
RENEWALS = 3
"""A claim is renewed so often within a lease while its work lasts."""


class Answer(BaseModel):
    """What an agent made of an issue; `quality` has further numbers of the outcome."""

    label: str
    resolved: bool = True
    confidence: float = Field(ge=0, le=1, allow_inf_nan=False)
    quality: dict[str, float] = Field({}, max_length=20)


class AgentFailed(Exception):
    """An agent did not answer, or not with an `Answer`."""


@dataclass(slots=True)
class Worked:
    """What an agent was asked for, as an outcome, and its answer; None when it failed."""

    outcome: dict[str, Any]
    answer: Answer | None
    why: str = ""


class Router:
    """Has issues done.

    Args:
        settings: Where everything is.
    """

    def __init__(self, settings: Settings) -> None:
        self.console = Console(settings.console_url, settings.console_token)
        self.faults = Faults("double")
        self._agents = {
            name: httpx.AsyncClient(base_url=url, timeout=60, trust_env=False)
            for name, url in (("baseline", settings.baseline), ("candidate", settings.candidate))
        }

    async def handle(self, event: IssueEvent, delivery: str) -> dict[str, Any]:
        """Have an issue done once and return what was done.

        Args:
            event: The event.
            delivery: GitHub's id of the delivery; a redelivery has the same.

        Raises:
            HTTPException: It was not done and must be delivered again.
            httpx.HTTPError: So it must, because the console does not answer.
        """
        turn = await self.console.decide(event.item)
        others = [name for name in self._agents if turn.both and name != turn.system]
        acted: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        beside = [asyncio.create_task(self._rehearse(event, name, acted)) for name in others]
        if self.faults.kind == "double":
            # what a broken router does: everybody gets the issue, with the right to act
            wrong = self._act(event, OTHER[turn.system], delivery, is_insisting=True)
            beside.append(asyncio.create_task(wrong))
        try:
            done = await self._act(event, turn.system, delivery)
            acted.set_result(done.get("label", ""))
        finally:
            if not acted.done():
                acted.cancel()
            for found in await asyncio.gather(*beside, return_exceptions=True):
                if isinstance(found, BaseException):
                    LOG.warning("what was done beside it ended with %r", found)
        return {**done, "because": turn.because, "rehearsed": others}

    async def _act(
        self, event: IssueEvent, system: str, delivery: str, *, is_insisting: bool = False
    ) -> dict[str, Any]:
        """Claim the issue and have the system whose right it is do the work, with effects.

        The mode may change between the decision and the claim, and what the candidate failed
        before is the baseline's in every mode: whoever is not entitled, the other one is.
        """
        why = "not_entitled"
        for each in (system,) if is_insisting else (system, OTHER[system], system):
            # another name each time: a redelivery at the same time must not be the same holder
            holder = f"{delivery[:64]}-{uuid.uuid4().hex}"
            grant = await self.console.claim(event.item, each, holder)
            if grant.token is not None:
                return await self._work(event, each, grant, delivery)
            why = grant.why
            if why != "not_entitled":
                break
        if why == "done":
            return {"status": "not done", "why": why, "system": system}
        raise again(503, f"not now: {why}")

    async def _work(
        self, event: IssueEvent, system: str, grant: Grant, delivery: str
    ) -> dict[str, Any]:
        """Have a system work under its claim; what the candidate fails the baseline does."""
        token = grant.token or 0
        async with self._renewed(event.item, token, grant.lease_seconds / RENEWALS):
            worked = await self._ask(event, system, token)
        await self._report(worked.outcome)
        if worked.answer is not None:
            await self.console.complete(event.item, token)
            return {"status": "done", "system": system, "label": worked.answer.label}
        await self.console.fail(event.item, token, f"{system} agent: {worked.why}")
        # nobody is left who could do it now
        if system == "baseline":
            raise again(502, "the agent does not answer")
        return await self._act(event, "baseline", delivery)

    async def _rehearse(
        self, event: IssueEvent, system: str, acted: asyncio.Future[str]
    ) -> None:
        """Have a system do the work without effects and compare; whatever happens, users do not
        notice."""
        worked = await self._ask(event, system, None)
        with contextlib.suppress(asyncio.CancelledError):
            label = await acted
            if worked.answer is not None and label:
                worked.outcome["quality"]["agrees"] = float(worked.answer.label == label)
        await self._report(worked.outcome)

    @asynccontextmanager
    async def _renewed(self, item: str, token: int, every: float) -> AsyncIterator[None]:
        """Renew a claim while the block runs: a short lease, however long the work takes."""
        async def renew() -> None:
            while True:
                await asyncio.sleep(every)
                # refused after a rollback, or no answer: what was begun is finished all the same
                with contextlib.suppress(httpx.HTTPError):
                    await self.console.renew(item, token)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()

    async def _ask(self, event: IssueEvent, system: str, token: int | None) -> Worked:
        """Have an agent work, and return the outcome that is to be reported."""
        began = time.perf_counter()
        outcome: dict[str, Any] = {
            # the same for a repetition, so that the console counts it once
            "id": f"{system}:{token or 'rehearsed'}:{_digest(event.item)}", "system": system,
            "key": event.item, "success": False, "quality": {}}
        answer, why = None, ""
        try:
            found = await self._agents[system].post("/work", json={
                "item": event.item, "title": event.issue.title, "body": event.issue.body or "",
                "token": token})
            answer = Answer.model_validate_json(found.raise_for_status().content)
            outcome |= {"success": answer.resolved, "quality": {
                **answer.quality, "confidence": answer.confidence}}
        except (httpx.HTTPError, ValidationError) as error:
            why = type(error).__name__
        return Worked({**outcome, "seconds": time.perf_counter() - began}, answer, why)

    async def _report(self, outcome: dict[str, Any]) -> None:
        """Report an outcome; without the report the work is no worse."""
        try:
            await self.console.report(outcome)
        except httpx.HTTPError as error:
            LOG.warning("outcome %s was not reported: %s", outcome["id"], error)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._agents.values():
            await client.aclose()
        await self.console.close()


def again(status: int, why: str) -> HTTPException:
    """Return the answer after which GitHub is to deliver an event again."""
    return HTTPException(status, f"{why}; deliver it again", {"Retry-After": "10"})


def _digest(item: str) -> str:
    """Return a short name of an item: those of long repositories are too long for an outcome."""
    return hashlib.sha256(item.encode()).hexdigest()[:32]
