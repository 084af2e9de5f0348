"""Routes that only read: decision, status, metrics, health."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from changeover import clock
from changeover.console import exposition
from changeover.console.context import Console
from changeover.console.kept import Kept
from changeover.console.models import KEY, DecisionOut
from changeover.domain.routing import Mode, explain
from changeover.domain.tokens import Scope
from changeover.flags.explain import LONGEST_KEY, shown
from changeover.plan.fields import Name
from changeover.site import status as status_of
from changeover.store import routing

DECISION = "/v1/decision/"


def routes(console: Console, meter: exposition.Meter | None = None) -> APIRouter:
    """Return the routes that only read; `meter` makes the text of `/metrics`."""
    router = APIRouter(tags=["read"], route_class=console.auth.route(Scope.READ))
    kept, counted = Kept(), meter or exposition.Meter(console)

    @router.get(DECISION + "{key:path}", summary="Which system a user gets, and why")
    async def decision(
        request: Request,
        key: Annotated[str, Path(
            pattern=KEY, max_length=LONGEST_KEY, description="The user's key.")],
        segment: Annotated[list[Name], Query(max_length=16, description="The user's.")] = [],  # noqa: B006
    ) -> DecisionOut:
        """Answer as the gateway does for a request with this key and these segments."""
        # the framework decodes the path as UTF-8 and loses other bytes
        return await _decision(console, _as_sent(request, key), segment)

    @router.get("/v1/status", summary="Where the migration stands")
    async def status() -> dict[str, Any]:
        """The same as `changeover status --output json`."""
        def collect() -> dict[str, Any]:
            return status_of.collect(console.site, now=clock.now())

        # half a second old at most: many clients together cost one look
        return await asyncio.to_thread(kept.get, "status", 0.5, time.monotonic(), collect)

    @router.get("/metrics", response_class=Response, summary="For Prometheus",
                responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Everything as Prometheus text, format 0.0.4."""
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(counted.thread, counted.kept)
        return Response(text, media_type=exposition.MEDIA_TYPE)

    return router


async def _decision(
    console: Console, key: str, segment: list[Name]
) -> DecisionOut:
    site = console.site
    spec = site.plan.routing
    segments = console.check_segments(segment) | spec.segments_of(key)
    state = await asyncio.to_thread(routing.read, site.store, site.migration)
    found = explain(state, key, segments, rule=spec.rule)
    return DecisionOut(
        key=shown(key), system=found.system,
        because=found.because, bucket=found.bucket,
        segments=sorted(segments), mode=state.mode.value,
        percent=state.weight / 100, both=state.mode is Mode.PARALLEL,
        maintenance=state.maintenance,
        version=state.version, epoch=state.epoch)


def _as_sent(request: Request, key: str) -> str:
    """Return the key of a path with the bytes that were sent, also those that are not UTF-8."""
    # the path before decoding: the key is what comes after the route's own part
    path = request.scope.get("raw_path", b"")
    _, found, raw = path.partition(DECISION.encode())
    # not every server says it
    if not found:
        return key
    return unquote_to_bytes(raw).decode("utf-8", "surrogateescape")


def health_routes(console: Console) -> APIRouter:
    """Return the route that supervisors ask; it needs no token and says nothing else."""
    router = APIRouter(tags=["read"], route_class=console.auth.route(None))

    @router.get("/health", summary="Whether the console can use the store")
    async def health() -> dict[str, str]:
        """200 when the store answers, 503 when it does not."""
        # the cheapest question that needs the store
        site = console.site
        await asyncio.to_thread(routing.read, site.store, site.migration)
        return {"status": "healthy", "migration": site.migration}

    return router
