"""The flag routes in the console: kept fresh from the store, with its rule of who may read."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from changeover.console import ofrep
from changeover.console.context import Console
from changeover.errors import Unreachable
from changeover.store.tokens import Scope as TokenScope


def begin(console: Console) -> None:
    """Start to keep the flags fresh; without a first snapshot the routes say so (503)."""
    with contextlib.suppress(Unreachable):
        console.feed.start(wait=0)


def routes(console: Console) -> list[Route]:
    """Return the routes of OFREP, of snapshots and of explanations, readable as all others are."""
    found = ofrep.routes(console.feed)
    if not console.guard.reads_freely:
        for route in found:
            route.app = _Checked(route.app, console.guard.needs(TokenScope.READ))
    return found


class _Checked:
    """Asks for a token before a route answers."""

    def __init__(self, app: ASGIApp, check: Callable[[Request], Awaitable[None]]) -> None:
        self._app, self._check = app, check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        await self._check(Request(scope))
        await self._app(scope, receive, send)
