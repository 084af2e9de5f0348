"""The pages' routes: the views, their live updates, and the files that they load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response, StreamingResponse

from changeover.console.context import Console
from changeover.console.pages import assets, rendering
from changeover.console.pages.live import MOST_STREAMS, Hub
from changeover.console.pages.ranges import DEFAULT, range_of
from changeover.console.pages.views import VIEWS, view_of
from changeover.console.pages.worker import Renderer
from changeover.domain.tokens import Scope
from changeover.errors import ChangeoverError

FIRST_SECONDS = 3.0
"""A page that is not rendered by then is sent empty and says that it is loading."""
POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:",
    "connect-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"))
"""The pages' content security policy: only what the console serves, and nothing inline."""
AGAIN_SECONDS = 5.0
"""So often a stream asks whether its token or session still is valid."""
RangeName = Annotated[str, Query(alias="range", max_length=20, description="How far back.")]


def routes(console: Console) -> APIRouter:
    """Return the routes of the pages."""
    router = APIRouter(tags=["pages"], route_class=console.auth.route(Scope.READ))
    renderer = Renderer(console.site)
    hub = Hub(renderer)

    @router.get("/", response_class=HTMLResponse, summary="The overview, for people")
    async def overview(chosen: RangeName = DEFAULT.name) -> Response:
        """Where the migration stands, live."""
        return await _page(console, renderer, VIEWS[0].name, chosen)

    @router.get("/pages/{name}", response_class=HTMLResponse, summary="A page for people")
    async def page(name: str, chosen: RangeName = DEFAULT.name) -> Response:
        """One view of the migration, live."""
        return await _page(console, renderer, view_of(name).name, chosen)

    @router.get("/live/{name}", response_class=StreamingResponse,
                summary="What changes on a page (server-sent events)",
                responses={429: {"description": "Too many pages are open."}})
    async def live(
        request: Request, name: str, chosen: RangeName = DEFAULT.name
    ) -> Response:
        """First everything, then what changed: HTML by section, data by chart."""
        view, span = view_of(name).name, range_of(chosen).name
        if hub.open >= MOST_STREAMS:
            raise HTTPException(429, f"{MOST_STREAMS} pages are open", {"Retry-After": "30"})
        # nginx would collect events until its buffer is full
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        events = _while_allowed(console, request, hub.stream(view, span))
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    return router


async def _while_allowed(
    console: Console, request: Request, events: AsyncGenerator[bytes]
) -> AsyncIterator[bytes]:
    """Yield events until who asked for them may not read any more: signed out, or revoked."""
    asked = time.monotonic()
    async with aclosing(events):
        async for each in events:
            if time.monotonic() - asked > AGAIN_SECONDS:
                if not await console.auth.still_reads(request):
                    return
                asked = time.monotonic()
            yield each


async def _page(console: Console, renderer: Renderer, name: str, chosen: str) -> Response:
    view, span, status = view_of(name), range_of(chosen), 200
    making = asyncio.ensure_future(renderer.render(view.name, span.name, whole=True))
    try:
        # shielded: what is made for a page that did not wait is there for the next
        rendered = await asyncio.wait_for(asyncio.shield(making), FIRST_SECONDS)
        text = rendered.page
    except TimeoutError:
        making.add_done_callback(_forgotten)
        text = await _shell(console, view.name, span.name)
    except ChangeoverError:
        # the page says so itself, and goes on asking
        text, status = await _shell(console, view.name, span.name), 503
    return HTMLResponse(text, status, headers={"Content-Security-Policy": POLICY})


async def _shell(console: Console, name: str, chosen: str) -> str:
    return await asyncio.to_thread(
        rendering.shell, view_of(name), range_of(chosen), console.site.plan)


def _forgotten(making: asyncio.Future[rendering.Rendered]) -> None:
    # asked for, or asyncio would complain that nobody did
    making.cancelled() or making.exception()


def asset_routes(console: Console) -> APIRouter:
    """Return the route of the files that pages load; they are the same for everybody."""
    router = APIRouter(tags=["pages"], route_class=console.auth.route(None))

    @router.get("/assets/{digest}/{name}", response_class=Response, summary="A page's file",
                responses={404: {"description": "No such file."}})
    async def asset(digest: str, name: str) -> Response:
        """A script or a style; browsers may keep it."""
        found = assets.known().get(name)
        if found is None or found.digest != digest:
            raise HTTPException(404, "no such file")
        keep = f"public, max-age={assets.LONGEST_SECONDS}, immutable"
        return Response(found.content, media_type=found.media_type,
                        headers={"Cache-Control": keep})

    return router
