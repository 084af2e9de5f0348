"""Receives GitHub's issue events and has each issue triaged once, by the system whose turn it is.

    TRACKER_URL=… WEBHOOK_SECRET=… CONSOLE_URL=… CONSOLE_TOKEN=… \\
        python -m examples.webhooks.app --baseline URL --candidate URL --port 8300

1. The signature is checked: only GitHub knows the secret.
2. The console says whose turn it is. In parallel mode the other agent gets the issue too, without
   a token, so that it has no effect and only its quality is measured.
3. The issue is claimed; what another delivery holds or has done is not done again.
4. The agent works. When the candidate fails, the claim goes to the baseline, which works instead;
   in candidate_only the plan has everyone rolled back then.
5. The claim is completed and every outcome reported: gates and triggers read them.

GitHub counts an answer of 2xx as delivered for good. What cannot be done now (maintenance, another
delivery is at it, the console does not answer) gets 503, so that it is delivered again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import re
import socket
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, Field, ValidationError

from examples.webhooks.console import Console

LOG = logging.getLogger("examples.webhooks")
ACTIONS = ("opened", "edited", "labeled", "assigned")
MOST_BODY = 25 << 20  # GitHub's own limit
SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")
OTHER = {"baseline": "candidate", "candidate": "baseline"}


class Issue(BaseModel):
    """The parts of an issue that agents read."""

    number: int = Field(ge=1, lt=1 << 53)
    title: str = Field(max_length=1000)
    body: str | None = None


class Repository(BaseModel):
    """Where the issue is."""

    full_name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,38}/[A-Za-z0-9._-]{1,100}$")


class IssueEvent(BaseModel):
    """GitHub's `issues` event; it has many fields more."""

    action: str
    issue: Issue
    repository: Repository

    @property
    def item(self) -> str:
        """The issue's name among all items: `acme:shop:42`."""
        return f"{self.repository.full_name.replace('/', ':')}:{self.issue.number}"


class Answer(BaseModel):
    """What an agent makes of an issue."""

    label: str
    confidence: float = Field(ge=0, le=1, allow_inf_nan=False)


class AgentFailed(Exception):
    """An agent did not answer, or not with an `Answer`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is. Secrets come from the environment, never from the command line."""

    baseline: str
    candidate: str
    console_url: str
    console_token: str
    webhook_secret: str


class Router:
    """Has issues triaged.

    Args:
        settings: Where everything is.
    """

    def __init__(self, settings: Settings) -> None:
        self.console = Console(settings.console_url, settings.console_token)
        self._agents = {
            name: httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
            for name, url in (("baseline", settings.baseline), ("candidate", settings.candidate))
        }

    async def handle(self, event: IssueEvent) -> dict[str, Any]:
        """Have an issue triaged once and return what was done.

        Raises:
            HTTPException: It was not done and must be delivered again.
            httpx.HTTPError: So it must, because the console does not answer.
        """
        turn = await self.console.decide(event.item)
        others = [name for name in self._agents if turn.both and name != turn.system]
        rehearsals = [asyncio.create_task(self._rehearse(event, name)) for name in others]
        try:
            done = await self._act(event, turn.system)
        finally:
            for fault in await asyncio.gather(*rehearsals, return_exceptions=True):
                if fault is not None:
                    LOG.error("a rehearsal ended with %r", fault)
        return {**done, "because": turn.because, "rehearsed": others}

    async def _act(self, event: IssueEvent, system: str) -> dict[str, Any]:
        """Claim the issue and have the system whose right it is do the work, with effects.

        The mode may change between the decision and the claim, and what the candidate failed
        before is the baseline's in every mode: whoever is not entitled, the other one is.
        """
        why = "not_entitled"
        for each in (system, OTHER[system], system):
            # a name of its own for every delivery: two at once must not be the same holder
            holder = f"{socket.gethostname()[:60]}-{os.getpid()}-{uuid.uuid4().hex}"
            grant = await self.console.claim(event.item, each, holder)
            if grant.token is not None:
                return await self._work(event, each, grant.token)
            why = grant.why
            if why != "not_entitled":
                break
        if why == "done":
            return {"status": "not done", "why": why, "system": system}
        raise _again(503, f"not now: {why}")

    async def _work(self, event: IssueEvent, system: str, token: int) -> dict[str, Any]:
        """Have a system work under its claim; what the candidate fails the baseline does."""
        try:
            label = await self._ask(event, system, token)
        except AgentFailed as error:
            await self.console.fail(event.item, token, f"{system} agent: {error}")
            # nobody is left who could do it now
            if system == "baseline":
                raise _again(502, "the agent does not answer") from None
            return await self._act(event, "baseline")
        await self.console.complete(event.item, token)
        return {"status": "done", "system": system, "label": label}

    async def _rehearse(self, event: IssueEvent, system: str) -> None:
        """Have a system do the work without effects; whatever happens, users do not notice."""
        with contextlib.suppress(AgentFailed):
            await self._ask(event, system, None)

    async def _ask(self, event: IssueEvent, system: str, token: int | None) -> str:
        """Have an agent work, report its outcome, and return its label.

        Raises:
            AgentFailed: There is no label.
        """
        began = time.perf_counter()
        outcome: dict[str, Any] = {
            # the same for a repetition, so that the console counts it once
            "id": f"{system}:{token or 'rehearsed'}:{_digest(event.item)}", "system": system,
            "key": event.item, "success": False}
        try:
            answer = await self._agents[system].post("/triage", json={
                "item": event.item, "title": event.issue.title, "body": event.issue.body or "",
                "token": token})
            found = Answer.model_validate_json(answer.raise_for_status().content)
            outcome |= {"success": True, "quality": {"confidence": found.confidence}}
        except (httpx.HTTPError, ValidationError) as error:
            raise AgentFailed(type(error).__name__) from error
        finally:
            await self._report({**outcome, "seconds": time.perf_counter() - began})
        return found.label

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


def _again(status: int, why: str) -> HTTPException:
    """Return the answer after which GitHub is to deliver an event again."""
    return HTTPException(status, f"{why}; deliver it again", {"Retry-After": "10"})


def _digest(item: str) -> str:
    """Return a short name of an item: those of long repositories are too long for an outcome."""
    return hashlib.sha256(item.encode()).hexdigest()[:32]


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether a body carries GitHub's signature: `sha256=` and the HMAC in hexadecimal."""
    known = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(known.encode(), signature.encode("utf-8", "replace"))


def application(settings: Settings) -> FastAPI:
    """Return the application that GitHub delivers to."""
    router = Router(settings)

    @contextlib.asynccontextmanager
    async def lifetime(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await router.close()

    app = FastAPI(title="issue webhooks", docs_url=None, redoc_url=None, lifespan=lifetime)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.post("/webhooks/github")
    async def receive(
        request: Request, x_github_event: str = Header(), x_hub_signature_256: str = Header("")
    ) -> dict[str, Any]:
        # before the body: without anything like a signature 25 MB need not be read
        if not SIGNATURE.fullmatch(x_hub_signature_256):
            raise HTTPException(401, "there is no signature of GitHub's")
        body = await _body(request)
        if not is_signed(body, x_hub_signature_256, settings.webhook_secret):
            raise HTTPException(401, "the signature is not GitHub's")
        if x_github_event != "issues":
            return {"status": "ignored", "event": x_github_event}
        try:
            event = IssueEvent.model_validate_json(body)
        except ValidationError as error:
            # what was sent is private and may be long: the answer does not repeat it
            raise HTTPException(422, error.errors(include_input=False)) from None
        if event.action not in ACTIONS:
            return {"status": "ignored", "action": event.action}
        try:
            return await router.handle(event)
        except httpx.HTTPError as error:
            LOG.warning("%s was not done: %s", event.item, error)
            raise _again(503, "the console does not answer") from None

    return app


async def _body(request: Request) -> bytes:
    """Return a request's body; what is larger than allowed is not read to its end."""
    length = request.headers.get("content-length", "0")
    body = bytearray()
    # a length that is missing or a lie is found out while reading
    if length.isdigit() and int(length) <= MOST_BODY:
        async for part in request.stream():
            body += part
            if len(body) > MOST_BODY:
                break
        else:
            return bytes(body)
    raise HTTPException(413, "larger than GitHub sends")


def main() -> None:
    """Read the command line and the environment, and serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--baseline", default="http://127.0.0.1:8301", help="The old agent.")
    parser.add_argument("--candidate", default="http://127.0.0.1:8302", help="The new agent.")
    parser.add_argument("--port", type=int, default=8300, help="Port to listen on.")
    arguments = parser.parse_args()
    settings = Settings(
        arguments.baseline, arguments.candidate,
        os.environ.get("CONSOLE_URL", "http://127.0.0.1:8190"), os.environ["CONSOLE_TOKEN"],
        os.environ["WEBHOOK_SECRET"])
    uvicorn.run(application(settings), host="127.0.0.1", port=arguments.port,
                log_level="warning")


if __name__ == "__main__":
    main()
