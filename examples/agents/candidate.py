"""The new system: agents that share the work. `python -m examples.agents.candidate --port 8402`.

`POST /work` has an issue worked on: an analyst reads it (`rules`), a developer changes the project
(`developer`), a reviewer builds the change before anybody else sees it. What does not build is no
pull request: the issue gets a comment instead. With a fencing token the tracker gets the work;
without one (in parallel mode, the system that users do not get) it only builds and reviews it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.base import RequestResponseEndpoint

from examples.agents import developer, rules
from examples.agents.faults import Faults
from examples.agents.serving import serve
from examples.agents.workspace import WorkFailed, Workspace, build, diff

NAME = "candidate"
TRACKER_VARIABLE = "SERVICE_TRACKER_URL"
AT_ONCE = 2
"""Issues that are worked on at the same time, others wait: each needs a core for its build."""
FAULTS = ("errors", "slow", "hang", "crash", "memory", "broken", "careless", "inconsistent")


class Task(BaseModel):
    """An issue to work on; `token` is the claim's, None to have no effect."""

    model_config = ConfigDict(extra="forbid")

    item: str
    title: str = Field(max_length=1000)
    body: str = Field("", max_length=100_000)
    token: int | None = None


class Done(BaseModel):
    """What became of it; `quality` has numbers for outcomes."""

    system: str
    label: str
    confidence: float
    resolved: bool
    quality: dict[str, float]


class Agents:
    """The analyst, the developer and the reviewer.

    Args:
        tracker: Where work goes, and where the project's repository is.
    """

    def __init__(self, tracker: str) -> None:
        self._tracker = httpx.AsyncClient(base_url=tracker, timeout=60, trust_env=False)
        self._workspace = Workspace(f"{tracker}/project.git")
        self._free = asyncio.Semaphore(AT_ONCE)
        self.faults = Faults(*FAULTS)
        self.known: dict[str, dict[str, Any]] = {}
        """What these agents know of each issue that they were given under a claim."""

    async def work(self, task: Task) -> Done:
        """Work on an issue and hand the work in.

        Raises:
            HTTPException: It failed; nothing was handed in.
        """
        async with self._free:
            await self.faults.suffer()
            if f"[{NAME} fails]" in task.title:
                raise HTTPException(500, f"the {NAME} agents cannot read this issue")
            self._note(task, "working")
            triage = rules.by_score(task.title, task.body)
            try:
                patch = await asyncio.to_thread(self._develop, rules.form(task.body))
                found = await self._hand_in(task, triage.label, patch)
            except (WorkFailed, httpx.HTTPError) as error:
                self._note(task, "failed")
                raise HTTPException(502, f"{type(error).__name__}: {error}") from None
            self._note(task, "done")
        return done(NAME, triage.label, triage.confidence, found)

    def _note(self, task: Task, status: str) -> None:
        # one that rehearses has no say about the issue
        if task.token is None or (self.faults.kind == "inconsistent" and status == "done"):
            return
        self.known[task.item] = {"item": task.item, "status": status, "token": task.token}

    def _develop(self, form: dict[str, str]) -> str:
        """Return the developer's patch if the reviewer agrees, '' otherwise."""
        with self._workspace.copy() as folder:
            is_changed = developer.develop(folder, form)
            if is_changed:
                self._suffer(folder)
            # a fault of the reviewer, too: a sound one would let neither pass
            is_blind = self.faults.kind in ("broken", "careless")
            if not is_changed or (build(folder) and not is_blind):
                return ""
            return diff(folder)

    def _suffer(self, folder: Path) -> None:
        """Do what a model does that has lost its way."""
        if self.faults.kind == "broken":
            with (folder / "parcels" / "prices.py").open("a") as code:
                code.write("def discount(price):\n")
        if self.faults.kind == "careless":
            for path in folder.rglob("*.py"):
                path.write_text(path.read_text() + "\n\n# looks good to me\n# no further changes\n")

    async def _hand_in(self, task: Task, label: str, patch: str) -> dict[str, Any]:
        answer = await self._tracker.post("/resolutions", json={
            "item": task.item, "token": task.token, "by": NAME, "label": label, "patch": patch})
        found: dict[str, Any] = answer.raise_for_status().json()
        return found


def done(system: str, label: str, confidence: float, found: dict[str, Any]) -> Done:
    """Return what became of an issue, as numbers where there was a pull request.

    `quality_score` is the share of the maintainers' rules that the change kept.
    """
    quality = {"quality_score": 1.0}
    if found["build_success"] is not None:
        review = found["review"]
        kept = sum(review.values()) / len(review) if review else 0.0
        quality |= {"build_success": float(found["build_success"]),
                    "pr_accepted": float(found["pr_accepted"]), "quality_score": kept}
    return Done(system=system, label=label, confidence=confidence, quality=quality,
                resolved=found["build_success"] is not False)


def application(tracker: str) -> FastAPI:
    """Return the agents' application."""
    agents = Agents(tracker)
    app = FastAPI(title="python agents", docs_url=None, redoc_url=None)
    agents.faults.route(app)

    @app.middleware("http")
    async def mark(request: Request, call: RequestResponseEndpoint) -> Response:
        answer = await call(request)
        answer.headers["x-content-type-options"] = "nosniff"
        return answer

    @app.get("/health")
    async def health() -> dict[str, str]:
        if agents.faults.kind == "hang":
            await agents.faults.suffer()
        return {"status": "healthy", "system": NAME}

    @app.post("/work")
    async def work(task: Task) -> Done:
        return await agents.work(task)

    @app.get("/issues")
    async def issues() -> list[dict[str, Any]]:
        return list(agents.known.values())

    return app


def main() -> None:
    """Read the command line and serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="Port to listen on.")
    parser.add_argument("--tracker", help="Where work goes; default: SERVICE_TRACKER_URL.",
                        default=os.environ.get(TRACKER_VARIABLE, "http://127.0.0.1:8403"))
    arguments = parser.parse_args()
    serve(application(arguments.tracker), arguments.port)


if __name__ == "__main__":
    main()
