"""Stands for GitHub where comments go: `python -m examples.webhooks.tracker --port 8303`.

It does what an effect's target should, in one step:

1. A comment with a lower fencing token than one that it has seen for the item comes from a holder
   whose claim passed to another, and is refused.
2. An item has one comment. Whoever claims it after a holder that commented and died gets that one.

A look and a comment afterwards would be two steps, between which a slow holder comments, too.
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
    comments: dict[str, Comment] = {}
    newest: dict[str, int] = {}
    # FastAPI runs plain functions in threads, several at once
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
            return comments.setdefault(comment.item, comment)

    @app.get("/comments")
    def find(item: str | None = None) -> list[Comment]:
        with lock:
            return [each for each in comments.values() if item in (None, each.item)]

    return app


def main() -> None:
    """Read the command line and serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8303, help="Port to listen on.")
    uvicorn.run(application(), host="127.0.0.1", port=parser.parse_args().port,
                log_level="warning")


if __name__ == "__main__":
    main()
