"""The flag routes in the console: refreshed from the store, with its rule of who may read."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from changeover.console import ofrep
from changeover.console.context import Console
from changeover.domain.tokens import Scope as TokenScope
from changeover.errors import Unreachable


def begin(console: Console) -> None:
    """Start refreshing the flags; without a first snapshot the routes say so (503)."""
    # the store may be away at the start: the feed goes on trying
    with contextlib.suppress(Unreachable):
        console.feed.start(wait=0)


def routes(console: Console) -> list[Route]:
    """Return the routes of OFREP, of snapshots and of explanations, readable as all others are.

    Lists of users are for applications alone: a token that pages in browsers have, a session, a
    password and a wall's screen do not open them, nor does being on this machine.
    """
    found = ofrep.routes(console.feed)
    for route in found:
        if route.path == ofrep.LISTS_PATH:
            route.app = _Checked(route.app, console.auth.needs(TokenScope.WRITE))
        elif not console.auth.reads_freely:
            route.app = _Checked(route.app, console.auth.needs(TokenScope.READ))
    return found


class Origins:
    """Lets pages of the plan's origins ask for flags (OFREP) from a browser, and nothing else.

    Args:
        app: What answers.
        origins: Scheme, host and port of those pages.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        self._app = app
        self._shared = CORSMiddleware(
            app, allow_origins=origins, allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "If-None-Match", "Last-Event-ID"],
            expose_headers=["ETag", "Retry-After"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and say to the browser whose pages may read the answer."""
        # only here: all else is for programs, which need no permission from a browser
        is_for_pages = scope["type"] == "http" and scope["path"].startswith("/ofrep/")
        await (self._shared if is_for_pages else self._app)(scope, receive, send)


class _Checked:
    """Asks for a token before a route answers."""

    def __init__(self, app: ASGIApp, check: Callable[[Request], Awaitable[None]]) -> None:
        self._app, self._check = app, check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        await self._check(Request(scope))
        await self._app(scope, receive, send)
