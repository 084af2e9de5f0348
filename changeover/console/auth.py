"""Who may do what: tokens for every write, and for reads as well when others can reach the port."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from changeover import clock
from changeover.console.problems import problem
from changeover.console.sessions import Sessions
from changeover.domain.tokens import Scope as TokenScope
from changeover.domain.tokens import Token, TokenState
from changeover.errors import InvalidInput, StoreError
from changeover.site.site import Site
from changeover.store import tokens

KNOWN_SECONDS = 2.0
"""A revoked token is refused after this long at most."""
MOST_KNOWN = 1000
"""Valid tokens that are remembered; the oldest goes first."""
MOST_BODY = 64 << 10
LARGER_BODIES = {"/v1/outcomes": 2 << 20}
"""Where a body may be larger."""
# a browser must not guess types, show a page in a frame, pass the address on, or keep an answer
_HEADERS = [
    (b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"), (b"cache-control", b"no-store"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_FRAMES = (b"iframe", b"frame", b"embed", b"object")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Auth:
    """Finds the token of a request.

    Args:
        site: The migration whose tokens count.
        sessions: Who signed in: they read without a token.
        reads_freely: Whether reading needs no token: nobody but this machine can ask.
    """

    def __init__(self, site: Site, sessions: Sessions, *, reads_freely: bool) -> None:
        self.site, self.sessions, self.reads_freely = site, sessions, reads_freely
        self._known: OrderedDict[bytes, tuple[Token, float]] = OrderedDict()

    def route(self, scope: TokenScope | None) -> type[APIRoute]:
        """Return the kind of routes that need `scope`, None for those that need no token.

        Before a body is read they look at the token, at the query, of which every name must be one
        that the route knows, and at the body's type.
        """
        check = self.needs(scope) if scope is not None else None

        class Checked(APIRoute):
            def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                answer = super().get_route_handler()
                known = frozenset(each.alias for each in self.dependant.query_params)

                async def checked(request: Request) -> Response:
                    if check is not None:
                        await check(request)
                    if request.scope["query_string"]:
                        _check_query(request, known)
                    _check_type(request)
                    return await answer(request)

                return checked

        return Checked

    def needs(self, scope: TokenScope) -> Callable[[Request], Awaitable[None]]:
        """Return what refuses a request without a token for `scope`.

        A browser sends a password that it knows by itself, also for a page of somebody else: to
        write, nobody gets in with one.
        """
        is_reading = scope is TokenScope.READ
        asks = 'Bearer realm="changeover"'
        if is_reading:
            asks += ', Basic realm="changeover"'

        async def check(request: Request) -> None:
            if is_reading and self.reads_freely:
                return
            header = request.headers.get("authorization", "")
            # a cookie comes by itself: it opens what only reads, and never a write
            if is_reading and not header and await self._is_reader(request):
                return
            if is_reading and not header and _is_navigation(request):
                place = quote(_place(request), safe="")
                raise HTTPException(303, "sign in", {"Location": f"/sign-in?next={place}"})
            text = _text_of(header, may_be_password=is_reading)
            token = await self._find(text) if text else None
            if token is None:
                why = "this token is not valid" if text else "a token is needed"
                how = "make one with `changeover token create` " \
                    "and send it as `Authorization: Bearer`"
                headers = {"WWW-Authenticate": asks}
                raise HTTPException(401, f"{why}: {how}", headers)
            if not token.scope.allows(scope):
                may = f"the token {token.name} may {token.scope}"
                raise HTTPException(403, f"{may}, this needs {scope}")
            request.state.actor = token.name

        return check

    async def still_reads(self, request: Request) -> bool:
        """Whether a request that began to read may go on: a stream lives longer than its token."""
        try:
            await self.needs(TokenScope.READ)(request)
        # a store that cannot be asked vouches for nobody; the browser asks again by itself
        except (HTTPException, StoreError):
            return False
        return True

    async def _is_reader(self, request: Request) -> bool:
        """Whether a request is of somebody's session, or of a wall screen's."""
        if request.method not in ("GET", "HEAD") or not request.cookies:
            return False
        found = await asyncio.to_thread(self.sessions.reader, request)
        if found is None:
            return False
        request.state.actor = found.name
        return True

    async def _find(self, text: str) -> Token | None:
        # the key of the cache is a hash: a dump of the memory shows no token
        key = hashlib.sha256(text.encode()).digest()
        site, now = self.site, time.monotonic()
        token, until = self._known.get(key, (None, 0.0))
        # its end is asked each time: a token that expires is refused at once
        is_valid = token is not None \
            and token.state(clock.now()) is TokenState.VALID
        if is_valid and until > now:
            return token
        # in a thread: the store may be slow, and other requests go on
        token = await asyncio.to_thread(
            tokens.find, site.store, site.migration, text, now=clock.now())
        if token is None:
            # only valid ones are remembered: guesses must not push those out
            self._known.pop(key, None)
            return None
        self._known[key] = token, now + KNOWN_SECONDS
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return token


def _is_navigation(request: Request) -> bool:
    """Whether a person opens a page; programs and scripts get a problem as ever."""
    is_page = request.headers.get("sec-fetch-mode") == "navigate"
    return is_page and request.method == "GET"


def _place(request: Request) -> str:
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")


def _check_query(request: Request, known: frozenset[str]) -> None:
    for name in request.query_params:
        if name not in known:
            raise InvalidInput(
                f"query parameter {name[:63]!r} is not known",
                where="query", allowed=", ".join(sorted(known)) or "none")


def _check_type(request: Request) -> None:
    """Refuse bodies that do not say that they are JSON: a page of another origin may send others
    unasked."""
    headers = request.headers
    length = headers.get("content-length", "0")
    has_body = length != "0" or "transfer-encoding" in headers
    kind = headers.get("content-type", "")
    # no body, or an empty one without a type: nothing to refuse
    if not kind and not has_body:
        return
    # a character set may stand behind it
    media_type = kind.partition(";")[0].strip().lower()
    if media_type != "application/json":
        said = kind[:63] or "untold"
        raise HTTPException(
            415, f"the body must be application/json, not {said}")


def _text_of(header: str, *, may_be_password: bool) -> str:
    """Return the token of an Authorization header: bearer, or the password that browsers ask."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic" and may_be_password:
        try:
            pair = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
        # the name before the colon is whatever the browser's user typed
        return pair.partition(":")[2]
    return ""


class Limits:
    """Refuses large bodies before they are read and names this machine does not have.

    On loopback, `Host` must be a loopback name: else a page from elsewhere could have a browser
    read the console under a name that it points here (DNS rebinding). A proxy may also ask by the
    plan's own name.
    """

    def __init__(self, app: ASGIApp, *, is_local: bool, public: str = "") -> None:
        self.app, self.is_local, self.public = app, is_local, public.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why not."""
        # events of the server's own life, which have no headers
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"")
        is_public = bool(host) and host == self.public
        if self.is_local and not is_public and not _is_own(host):
            answer = problem(
                421, "misdirected", "this host name is not the console's",
                allowed="127.0.0.1, localhost")
            await answer(scope, receive, send)
            return
        if _is_embedded(headers):
            answer = problem(403, "refused", "a page of another site loads this as its part")
            await answer(scope, receive, send)
            return
        length = headers.get(b"content-length", b"0")
        most = LARGER_BODIES.get(scope["path"], MOST_BODY)
        # a length that is no number is none; a body without one is counted as it comes
        if not length.isdigit() or int(length) > most:
            answer = problem(413, "too large", f"a body has at most {most} bytes here")
            await answer(scope, receive, send)
            return
        await self.app(scope, _counted(receive, most), _with_headers(send))


def _is_embedded(headers: Mapping[bytes, bytes]) -> bool:
    """Whether another site's page loads something as a picture or in a frame.

    It could read nothing of it. But where reading is free, it could keep the console busy and every
    stream taken.
    """
    if headers.get(b"sec-fetch-site") != b"cross-site":
        return False
    is_part = headers.get(b"sec-fetch-mode") == b"no-cors"
    return is_part or headers.get(b"sec-fetch-dest") in _FRAMES


class _TooLarge(HTTPException):
    def __init__(self, most: int) -> None:
        super().__init__(413, f"a body has at most {most} bytes here")


def _counted(receive: Receive, most: int) -> Receive:
    """Count what comes without a declared length as well."""
    total = 0

    async def read() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > most:
            raise _TooLarge(most)
        return message

    return read


def _with_headers(send: Send) -> Send:
    """Add the headers that an answer does not have itself."""
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = list(message.get("headers", []))
            names = {name.lower() for name, _ in own}
            more = [header for header in _HEADERS if header[0] not in names]
            message = {**message, "headers": [*own, *more]}
        await send(message)

    return sent


@lru_cache(maxsize=64)
def _is_own(host: bytes) -> bool:
    """Whether a Host header names this machine, with or without a port."""
    text = host.decode("latin-1")
    # an address of IPv6 stands in brackets, so that its colons are not the port's
    name, _, _ = text.partition(":")
    if text.startswith("["):
        name, _, _ = text[1:].partition("]")
    return is_loopback(name)
