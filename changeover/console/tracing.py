"""Each request to the console as a span, where traces are sent; else it costs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from changeover import telemetry

if TYPE_CHECKING:
    from fastapi import FastAPI
    from opentelemetry.trace import Span

    from changeover.telemetry.sdk import Exporting


def add_to(app: FastAPI) -> None:
    """Have every request of an application traced, when this process sends traces."""
    if exporting := telemetry.exporting():
        app.add_middleware(Traced, exporting=exporting, routes=app.router.routes)


class Traced:
    """Traces requests; a caller's `traceparent` continues its trace.

    Args:
        app: What answers.
        exporting: What sends the spans.
        routes: The application's routes, for names without keys of users.
    """

    def __init__(self, app: ASGIApp, exporting: Exporting, routes: Sequence[BaseRoute]) -> None:
        self._app, self._exporting, self._routes = app, exporting, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request within a span."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        carrier = {}
        for name, value in scope["headers"]:
            if name in (b"traceparent", b"tracestate"):
                carrier[name.decode()] = value.decode("latin-1")
        method = scope["method"]
        known = {"http.request.method": method}
        with self._exporting.serving(method, carrier, known) as span:
            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    # only now is it known which route answers
                    route = self._route(scope)
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                    _note_status(span, message["status"])
                await send(message)

            await self._app(scope, receive, noting)

    def _route(self, scope: Scope) -> str:
        """Return the route of a request as it is declared, as `/v1/claims/{item}`."""
        # FastAPI's routes say so themselves, Starlette's do not
        if found := getattr(scope.get("route"), "path", None):
            return str(found)
        for route in self._routes:
            path = getattr(route, "path", None)
            if path and route.matches(scope)[0] is Match.FULL:
                return str(path)
        return "other"


def _note_status(span: Span, status: int) -> None:
    span.set_attribute("http.response.status_code", status)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_attribute("error.type", str(status))
