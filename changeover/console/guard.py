"""Who may do what: tokens for every write, and for reads as well when others can reach the port."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from changeover import clock
from changeover.console.problems import problem
from changeover.store import tokens
from changeover.store.engine import Store
from changeover.store.tokens import Scope as TokenScope
from changeover.store.tokens import Token

KNOWN_SECONDS = 2.0
"""A revoked token is refused after this long at most."""
MOST_KNOWN = 1000
MOST_BODY = 2 << 20
_HEADERS = [
    (b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"), (b"cache-control", b"no-store"),
]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Finds the token of a request.

    Args:
        store: Where the tokens are.
        migration: Whose tokens count.
        reads_freely: Whether reading needs no token: nobody but this machine can ask.
    """

    def __init__(self, store: Store, migration: str, *, reads_freely: bool) -> None:
        self.store, self.migration, self.reads_freely = store, migration, reads_freely
        self._known: OrderedDict[bytes, tuple[Token, float]] = OrderedDict()

    def needs(self, scope: TokenScope) -> Callable[[Request], Awaitable[None]]:
        """Return the dependency of routes that need `scope`."""

        async def check(request: Request) -> None:
            if scope is TokenScope.READ and self.reads_freely:
                return
            text = _text_of(request.headers.get("authorization", ""))
            token = await self._find(text) if text else None
            if token is None:
                why = "this token is not valid" if text else "a token is needed"
                raise HTTPException(401, f"{why}: make one with `changeover token create`", {
                    "WWW-Authenticate": 'Bearer realm="changeover", Basic realm="changeover"'})
            if not token.scope.allows(scope):
                raise HTTPException(
                    403, f"the token {token.name} may {token.scope}, this needs {scope}")
            request.state.actor = token.name

        return check

    async def _find(self, text: str) -> Token | None:
        key, now = hashlib.sha256(text.encode()).digest(), time.monotonic()
        known = self._known.get(key)
        if known is not None and known[1] > now and known[0].state(clock.now()) == "valid":
            return known[0]
        token = await asyncio.to_thread(
            tokens.find, self.store, self.migration, text, now=clock.now())
        if token is None:
            self._known.pop(key, None)
            return None
        self._known[key] = token, now + KNOWN_SECONDS
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return token


def _text_of(header: str) -> str:
    """Return the token of an Authorization header: bearer, or the password that browsers ask."""
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


class Limits:
    """Refuses large bodies before they are read and names this machine does not have.

    On loopback, `Host` must be a loopback name: else a page from elsewhere could have a browser
    read the console under a name that it points here (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, *, is_local: bool) -> None:
        self.app, self.is_local = app, is_local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self.is_local and not is_loopback(_name_of(host)):
            answer = problem(421, "misdirected", "this host name is not the console's",
                             allowed="127.0.0.1, localhost")
            await answer(scope, receive, send)
            return
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > MOST_BODY:
            answer = problem(413, "too large", f"a body has at most {MOST_BODY} bytes")
            await answer(scope, receive, send)
            return
        await self.app(scope, _counted(receive), _with_headers(send))


class _TooLarge(HTTPException):
    def __init__(self) -> None:
        super().__init__(413, f"a body has at most {MOST_BODY} bytes")


def _counted(receive: Receive) -> Receive:
    """Count what comes without a declared length as well."""
    total = 0

    async def read() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MOST_BODY:
            raise _TooLarge
        return message

    return read


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
        await send(message)

    return sent


def _name_of(host: str) -> str:
    """Return a Host header's name without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
