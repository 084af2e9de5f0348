"""The console's application: every route, every error as a problem, one OpenAPI document."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter, FastAPI

from changeover import __version__, clock
from changeover.console import (
    acting,
    claiming,
    describing,
    evaluating,
    problems,
    reading,
    report_pages,
    reporting,
    signing,
    tracing,
)
from changeover.console.auth import Limits
from changeover.console.context import Console
from changeover.console.models import ClaimIn, OutcomeIn
from changeover.console.pages import routes as pages
from changeover.console.problems import Problem
from changeover.errors import ChangeoverError
from changeover.store import heartbeats, outcomes

LOG = logging.getLogger("changeover.console")
BEAT_SECONDS = 5.0
PRUNE_SECONDS = 60.0
MORE_SECONDS = 0.2
"""Pause between two parts of what is pruned, in which others write."""

ROUTES: tuple[Callable[[Console], APIRouter], ...] = (
    claiming.routes, reporting.routes, reading.health_routes, reading.routes, pages.routes,
    pages.asset_routes, report_pages.routes,
    signing.routes, acting.routes,
    # further parts of the console stand here: a function from a Console to its APIRouter
)


def application(console: Console) -> FastAPI:
    """Return the application that serves a migration's console."""
    described = problems.documented({
        400: "The body cannot be read.", 401: "No valid token.",
        403: "The token may do less than this.",
        413: "The body is too large.", 415: "The body is not JSON.",
        421: "Not the console's host name.",
        422: "Something in the request is not allowed.",
        503: "The store or another part does not answer; send it again."})
    app = FastAPI(
        title="Changeover console", version=__version__, docs_url=None, redoc_url=None,
        description="Decisions, claims and outcomes for applications in a "
        "migration. Every write needs a token.", responses=described,
        lifespan=lambda _app: _lifetime(console), redirect_slashes=False,
    )
    for routes in ROUTES:
        app.include_router(routes(console))
    # Starlette's own routes: flags are asked for thousands of times a second
    app.router.routes += evaluating.routes(console)
    problems.install(app)
    # the one that is added last is asked first: limits apply to all, whatever comes after
    if console.site.plan.console.origins:
        app.add_middleware(evaluating.Origins, origins=console.site.plan.console.origins)
    app.add_middleware(Limits, is_local=console.is_local, public=console.public_host)
    tracing.add_to(app)
    _complete_document(app)
    return app


@contextlib.asynccontextmanager
async def _lifetime(console: Console) -> AsyncIterator[None]:
    own = heartbeats.service_of(console.site.migration, console.name)
    store, pid = console.site.store, os.getpid()

    def beat() -> None:
        heartbeats.beat(store, own, pid=pid, now=clock.now())

    tasks = [
        asyncio.create_task(_every(BEAT_SECONDS, beat)),
        asyncio.create_task(_every(PRUNE_SECONDS, lambda: _prune(console))),
    ]
    evaluating.begin(console)
    LOG.info("console of %s", console.site.migration)
    yield
    # in a thread: it waits for the feed's own thread to end
    await asyncio.to_thread(console.feed.stop)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _every(seconds: float, action: Callable[[], bool | None]) -> None:
    """Run periodically, and again soon when more is left; log failures and retry."""
    while True:
        has_more = None
        try:
            has_more = await asyncio.to_thread(action)
        # the store is busy or away: the next turn tries again
        except ChangeoverError as error:
            LOG.error("%s", error)
        await asyncio.sleep(MORE_SECONDS if has_more else seconds)


def _prune(console: Console) -> bool:
    """Delete a part of what is old; return whether more may be left."""
    site = console.site
    deleted = outcomes.prune(
        site.store, site.migration, site.plan.retention, now=clock.now())
    return deleted >= outcomes.PRUNED_AT_ONCE


def _complete_document(app: FastAPI) -> None:
    """Add what FastAPI cannot see: problems, and routes that read the bytes themselves."""
    document = app.openapi()
    parts, paths = document["components"], document["paths"]
    place = "#/components/schemas/{model}"
    for model in (Problem, ClaimIn, OutcomeIn):
        schema = model.model_json_schema(ref_template=place)
        # models within it stand beside it, where the references point
        parts["schemas"] |= schema.pop("$defs", {})
        parts["schemas"][model.__name__] = schema
    token = {"type": "http", "scheme": "bearer"}
    parts["securitySchemes"] = {"token": token}
    # reading on loopback needs none
    for operations in paths.values():
        if "post" in operations:
            operations["post"]["security"] = [{"token": []}]
    parts["schemas"] |= describing.SCHEMAS
    paths |= describing.paths()
    app.openapi_schema = document
