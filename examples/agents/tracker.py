"""Stands for GitHub where work arrives: `python -m examples.agents.tracker --port 8403`.

It has the project's repository, takes comments and pull requests, builds every pull request and
reviews it by the maintainers' rules. It does what an effect's target should, in one step:

1. Work with a lower fencing token than one that it has seen for the item comes from a holder whose
   claim passed to another, and is refused.
2. An item is resolved once. Whoever claims it after a holder that resolved it and died gets that
   resolution.

A look and a resolution afterwards would be two steps, between which a slow holder comes, too.
Work without a token is a rehearsal: it is built and reviewed, and leaves nothing.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
import threading
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from starlette.staticfiles import StaticFiles

from examples.agents.serving import serve
from examples.agents.workspace import WorkFailed, Workspace, build, git

PROJECT = Path(__file__).parent / "project"
LABELS = ("bug", "feature", "docs", "question")
MOST_LINES = 6
"""Lines that a change may add and remove together: a larger one is for people to plan."""


class Work(BaseModel):
    """What an agent made of an issue, with the claim's token under which it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: str
    token: int | None
    by: str
    label: str
    patch: str = Field("", max_length=100_000)


class Resolution(BaseModel):
    """What became of it. The last four are None where there was no pull request."""

    item: str
    token: int | None
    by: str
    label: str
    build_success: bool | None = None
    pr_accepted: bool | None = None
    review: dict[str, bool] = {}
    said: str = ""


class Repository:
    """The project's repository, and the builds and reviews of pull requests.

    Args:
        folder: Where the repository is kept, bare, to be cloned by anybody.
    """

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "project.git"
        source = folder / "source"
        shutil.copytree(PROJECT, source, ignore=shutil.ignore_patterns("__pycache__"))
        git(folder, "init", "-q", "-b", "main", "source")
        git(source, "add", "--all")
        git(source, "commit", "-q", "-m", "The project as it is")
        git(folder, "clone", "-q", "--bare", "source", "project.git")
        # then it can be cloned from files that any web server serves, with what is pushed later
        git(self.bare, "config", "receive.updateServerInfo", "true")
        git(self.bare, "update-server-info")
        self._workspace = Workspace(str(self.bare))

    def judge(self, work: Work) -> Resolution:
        """Build and review a change; with a token it also becomes a branch of the repository."""
        common: dict[str, Any] = work.model_dump(exclude={"patch"})
        if not work.patch:
            return Resolution(**common)
        with self._workspace.copy() as folder:
            try:
                git(folder, "apply", "--index", "-", text=work.patch)
            except WorkFailed as error:
                return Resolution(**common, build_success=False, pr_accepted=False,
                                  said=str(error))
            wrong = build(folder)
            rules = reviewed(work.label, work.patch) | {"build": not wrong}
            if work.token is not None:
                self._branch(folder, work)
        return Resolution(**common, build_success=not wrong, pr_accepted=all(rules.values()),
                          review=rules, said=wrong)

    def _branch(self, folder: Path, work: Work) -> None:
        name = re.sub(r"[^A-Za-z0-9._-]", "-", work.item)
        git(folder, "commit", "-q", "-m", f"{work.label}: {work.item}")
        git(folder, "push", "-q", str(self.bare), f"HEAD:refs/heads/{name}-{work.token}")


def reviewed(label: str, patch: str) -> dict[str, bool]:
    """Return which of the maintainers' rules a change keeps."""
    lines = patch.splitlines()
    changed = [line for line in lines if re.match(r"[+-](?![+-]{2} )", line)]
    return {
        "known label": label in LABELS,
        "one file": sum(line.startswith("diff --git") for line in lines) == 1,
        "small": len(changed) <= MOST_LINES,
        "no blanks at the end": not any(re.search(r"^\+.*[ \t]$", line) for line in changed),
    }


class Desk:
    """Takes each item's first work and refuses what comes late.

    Args:
        repository: Builds and reviews.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._newest: dict[str, int] = {}
        self._resolved: dict[str, Future[Resolution]] = {}
        self.refused = 0
        # FastAPI runs plain functions in threads, several at once
        self._lock = threading.Lock()

    def take(self, work: Work) -> Resolution:
        """Return the item's resolution: this work's, or that of the one who came first.

        Raises:
            HTTPException: The token is not the newest.
        """
        if work.token is None:
            return self._repository.judge(work)
        with self._lock:
            if work.token < self._newest.get(work.item, 0):
                self.refused += 1
                raise HTTPException(409, f"token {work.token} is not the newest")
            self._newest[work.item] = work.token
            found, mine = self._resolved.get(work.item), Future[Resolution]()
            if found is None:
                self._resolved[work.item] = mine
        if found is not None:
            return found.result(timeout=60)
        try:
            mine.set_result(self._repository.judge(work))
        except BaseException as error:
            # the next one may try: nothing was resolved
            with self._lock:
                del self._resolved[work.item]
            mine.set_exception(error)
            raise
        return mine.result()

    def resolved(self, item: str | None) -> list[Resolution]:
        """Return the resolutions of one item, or of all."""
        with self._lock:
            known = list(self._resolved.values())
        found = []
        for each in known:
            if each.done():
                with suppress(Exception):
                    found.append(each.result())
        return [each for each in found if item in (None, each.item)]


def application(folder: Path) -> FastAPI:
    """Return the tracker's application; resolutions are in memory, branches in `folder`."""
    app = FastAPI(title="tracker", docs_url=None, redoc_url=None)
    repository = Repository(folder)
    desk = Desk(repository)

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "healthy"}

    @app.post("/resolutions", status_code=201)
    def add(work: Work) -> Resolution:
        return desk.take(work)

    @app.get("/resolutions")
    def find(item: str | None = None) -> list[Resolution]:
        return desk.resolved(item)

    @app.get("/refused")
    def refused() -> dict[str, int]:
        return {"refused": desk.refused}

    app.mount("/project.git", StaticFiles(directory=repository.bare))
    return app


def main() -> None:
    """Read the command line and serve until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8403, help="Port to listen on.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tracker-") as folder:
        serve(application(Path(folder)), arguments.port)


if __name__ == "__main__":
    main()
