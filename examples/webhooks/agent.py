"""One of the two agents as an HTTP service: `python -m examples.webhooks.agent SYSTEM --port N`.

`POST /triage` answers what it makes of an issue. With a fencing token it also has the effect: a
comment on the tracker. Without one (in parallel mode, the system that users do not get) it only
says what it would have done.
"""

from __future__ import annotations

import argparse
import os
import time

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from examples.webhooks.rules import by_first_word, by_score

TRACKER_VARIABLE = "TRACKER_URL"
TRIAGES = {"baseline": by_first_word, "candidate": by_score}


class Work(BaseModel):
    """An issue to triage; `token` is the claim's, None to have no effect."""

    model_config = ConfigDict(extra="forbid")

    item: str
    title: str = Field(max_length=1000)
    body: str = Field("", max_length=100_000)
    token: int | None = None


class Done(BaseModel):
    """What the agent made of it."""

    system: str
    label: str
    confidence: float
    seconds: float


def application(system: str, tracker_url: str) -> FastAPI:
    """Return the agent's application; an issue that says so makes it fail (for trying that)."""
    app = FastAPI(title=f"{system} agent", docs_url=None, redoc_url=None)
    tracker = httpx.Client(base_url=tracker_url, timeout=20, trust_env=False)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "healthy", "system": system}

    @app.post("/triage")
    def triage(work: Work) -> Done:
        began = time.perf_counter()
        if f"[{system} fails]" in work.title:
            raise HTTPException(500, f"the {system} agent cannot read this issue")
        found = TRIAGES[system](work.title, work.body)
        # without a token this is a rehearsal, which must have no effect
        if work.token is not None:
            comment(tracker, work, system, found.label)
        return Done(system=system, label=found.label, confidence=found.confidence,
                    seconds=time.perf_counter() - began)

    return app


def comment(tracker: httpx.Client, work: Work, system: str, label: str) -> None:
    """Have the issue commented once: the tracker keeps the first comment and refuses old tokens."""
    tracker.post("/comments", json={
        "item": work.item, "token": work.token, "by": system, "label": label,
    }).raise_for_status()


def main() -> None:
    """Read the command line and serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=sorted(TRIAGES))
    parser.add_argument("--host", default="127.0.0.1", help="Address to listen on.")
    parser.add_argument("--port", type=int, required=True, help="Port to listen on.")
    arguments = parser.parse_args()
    tracker = os.environ.get(TRACKER_VARIABLE, "http://127.0.0.1:8303")
    uvicorn.run(application(arguments.system, tracker), host=arguments.host,
                port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
