"""Stands for GitHub where comments go: `python -m examples.webhooks.tracker --port 8303`.

It checks fencing tokens, as what an effect goes to should: a comment with a lower token than one
that it has seen for the item comes from a holder whose claim passed to another, and is refused.
"""

from __future__ import annotations

import argparse
import threading

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict


class Comment(BaseModel):
    """A comment on an issue, with the claim's token under which it was written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: str
    token: int
    by: str
    label: str


def application() -> FastAPI:
    """Return the tracker's application; it keeps comments in memory."""
    app = FastAPI(title="tracker", docs_url=None, redoc_url=None)
    comments: list[Comment] = []
    newest: dict[str, int] = {}
    lock = threading.Lock()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.post("/comments", status_code=201)
    def add(comment: Comment) -> Comment:
        with lock:
            if comment.token < newest.get(comment.item, 0):
                raise HTTPException(409, f"token {comment.token} is not the newest")
            newest[comment.item] = comment.token
            comments.append(comment)
        return comment

    @app.get("/comments")
    def find(item: str | None = None) -> list[Comment]:
        with lock:
            return [comment for comment in comments if item in (None, comment.item)]

    return app


def main() -> None:
    """Read the command line and serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8303, help="Port to listen on.")
    uvicorn.run(application(), host="127.0.0.1", port=parser.parse_args().port,
                log_level="warning")


if __name__ == "__main__":
    main()
