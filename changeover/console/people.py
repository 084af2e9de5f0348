"""Pages for people who sign in: their headers, what is answered when something is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from changeover.console.context import Console
from changeover.console.pages import assets
from changeover.console.pages.views import VIEWS
from changeover.console.problems import status_of
from changeover.console.sessions import csrf
from changeover.domain.sessions import SignedIn
from changeover.errors import ChangeoverError

TEMPLATES = Path(__file__).with_name("templates")
POLICY = "; ".join((
    "default-src 'none'", "style-src 'self'", "img-src 'self'",
    "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"))
"""Of pages with forms: no script at all, and forms go to this console alone."""
_HEADERS = {
    "Content-Security-Policy": POLICY,
    # with `no-referrer` browsers would say of our own forms that they come from nowhere
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Threads:
    """Threads of their own for what people do: it may take long, and must slow no claim or flag."""

    def __init__(self, name: str, most: int) -> None:
        self._pool = ThreadPoolExecutor(most, name)

    async def run(self, work: Callable[..., Response], *given: Any) -> Response:
        """Do something in a thread, and return what comes of it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, work, *given)


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
    text = _rendered(
        console, template, who=who, may=str(sessions.rights(who)) if who else "",
        csrf=csrf(sessions.key(request)) if who else "", **values)
    return HTMLResponse(text, status, _HEADERS)


def _rendered(console: Console, template: str, **values: Any) -> str:
    return templates().get_template(template).render(
        plan=console.site.plan, asset=assets.address, views=VIEWS, **values)


def markdown(text: str) -> Markup:
    """Return a question's Markdown as HTML: no markup of its own, no links and no pictures."""
    reader = _reader()
    tokens = reader.parse(text)
    for each in tokens:
        # columns that stand right or left: the policy lets no style stand within a page
        each.attrs.pop("style", None)
    # what it puts out is escaped by the library, whatever stands in the text
    html = reader.renderer.render(tokens, reader.options, {})
    return Markup(html)  # noqa: S704


@cache
def _reader() -> MarkdownIt:
    found = MarkdownIt("commonmark", {"html": False}).enable("table")
    return found.disable([
        "link", "autolink", "image", "html_block", "html_inline", "reference",
        # the page has headings of its own
        "heading", "lheading"])


@cache
def templates() -> Environment:
    """Return where the templates of people's pages are."""
    found = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True,
        # a name that a template misspells is an error, not an empty place
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters["markdown"] = markdown
    return found


def arrived(console: Console, place: str) -> HTMLResponse:
    """Return a page that goes on to another one of this console by itself.

    A browser that came from elsewhere sends no strict cookie, also where it is redirected to. What
    this page asks for is asked by the console's own page, and has the cookie.
    """
    text = _rendered(console, "arrived.html.j2", place=place, who=None, may="", csrf="")
    return HTMLResponse(text, headers=_HEADERS)


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
    text = _rendered(
        console, "refused.html.j2", why=why, who=None, may="", csrf="",
        place=local(request.url.path))
    return HTMLResponse(text, status, {**_HEADERS, **dict(more or {})})


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
