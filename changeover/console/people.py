"""Pages for people who sign in: their headers, what is answered when something is refused."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from html import escape
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from changeover.console import page
from changeover.console.context import Console
from changeover.console.problems import status_of
from changeover.console.sessions import csrf
from changeover.domain.sessions import SignedIn
from changeover.errors import ChangeoverError

_HEADERS = {
    # with `no-referrer` browsers would say of our own forms that they come from nowhere
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def shown(
    console: Console, request: Request, template: str, *, status: int = 200, **values: Any
) -> Response:
    """Return a page for people.

    Args:
        console: The console.
        request: The request that it answers.
        template: Name of its template.
        status: The answer's status.
        values: What the template needs besides who is signed in.
    """
    sessions = console.sessions
    who = sessions.who(request)
    common = {
        "style": page.style(), "migration": console.site.migration,
        "who": who, "may": str(sessions.rights(who)) if who else "",
        "csrf": csrf(sessions.key(request)) if who else "",
    }
    text = page.templates().get_template(template).render(**common, **values)
    return HTMLResponse(text, status, headers())


def headers() -> dict[str, str]:
    """Return the headers of a page with forms, which go to this console alone."""
    policy = page.policy().replace("form-action 'none'", "form-action 'self'")
    return {"Content-Security-Policy": policy, **_HEADERS}


def arrived(console: Console, place: str) -> HTMLResponse:
    """Return a page that goes on to another one of this console by itself.

    A browser that came from elsewhere sends no strict cookie, also where it is redirected to. What
    this page asks for is asked by the console's own page, and has the cookie.
    """
    safe = escape(place, quote=True)
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>'
        f'{escape(console.site.migration)}</title>'
        f'<meta http-equiv="refresh" content="0; url={safe}"></head>'
        f'<body><main><h1>One moment</h1><p><a href="{safe}">Go on</a></p></main></body></html>')
    return HTMLResponse(text, headers=headers())


def local(place: str) -> str:
    """Return an address of this console to go on to; `/` for any that could lead elsewhere."""
    is_path = place.startswith("/") and not place.startswith(("//", "/\\"))
    # browsers leave out what cannot be printed, and read what is left
    is_plain = place.isascii() and place.isprintable() and "\\" not in place
    return place if is_path and is_plain and len(place) <= 500 else "/"


def route_of(console: Console) -> type[APIRoute]:
    """Return the kind of routes whose refusals are pages for people."""
    class Shown(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    return await answer(request)
                except HTTPException as error:
                    return _refused(
                        console, request, error.status_code, str(error.detail), error.headers)
                except ChangeoverError as error:
                    return _refused(console, request, status_of(error), str(error))

            return guarded

    return Shown


def _refused(
    console: Console, request: Request, status: int, why: str, more: Any = None
) -> Response:
    # nothing is looked up any more: the store may be what does not answer
    text = page.templates().get_template("refused.html.j2").render(
        style=page.style(), migration=console.site.migration, why=why, who=None,
        may="", csrf="", place=local(request.url.path))
    return HTMLResponse(text, status, {**headers(), **dict(more or {})})


def who_acts(console: Console, request: Request) -> SignedIn:
    """Return who signed in.

    Raises:
        HTTPException: 401, nobody did.
    """
    who = console.sessions.who(request)
    if who is None:
        raise HTTPException(401, "Sign in first.")
    return who


def to_sign_in(request: Request) -> Response:
    """Return the way to sign in, and back to what was asked for."""
    query = f"?{request.url.query}" if request.url.query else ""
    place = quote(f"{request.url.path}{query}", safe="")
    return RedirectResponse(f"/sign-in?next={place}", 303)
