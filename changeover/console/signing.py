"""Signing in and out: with a token, at the provider of the plan, or with a wall screen's link.

1. `/sign-in` shows a form for a token, and a link to the provider if the plan has one.
2. Whoever signs in gets a new session; the one that the browser had before ends.
3. `/wall?token=…` changes a token that may only read for a cookie at once, and goes on to the page.
"""

from __future__ import annotations

import logging
import secrets
import time
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from changeover import clock
from changeover.console import people
from changeover.console.context import Console
from changeover.console.limiting import Attempts
from changeover.console.sessions import BEGUN, PERSON, UNSIGNED, WALL, csrf, form_of
from changeover.domain.sessions import LONGEST, SignedIn, Source
from changeover.domain.sessions import WALL as WALL_LASTS
from changeover.domain.tokens import Scope, Token
from changeover.errors import Refused
from changeover.plan.oidc import CALLBACK, UNFINISHED
from changeover.store import approver_tokens, console_sessions, tokens

LOG = logging.getLogger("changeover.console")


def routes(console: Console) -> APIRouter:
    """Return the routes of signing in and out."""
    router = APIRouter(
        tags=["people"], include_in_schema=False, route_class=people.route_of(console))
    door = Door(console)
    # a provider may answer late, and a salted hash is slow on purpose
    threads = people.Threads("signing", 4)
    # of its own: a token signs in while the provider hangs
    asking = people.Threads("provider", 2)

    @router.get("/sign-in")
    async def show(request: Request) -> Response:
        return await threads.run(door.show, request)

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        form = await form_of(request)
        return await threads.run(door.with_token, request, form)

    @router.get("/sign-in/provider")
    async def provider(request: Request) -> Response:
        return await asking.run(door.to_provider, request)

    @router.get(CALLBACK)
    async def back(request: Request) -> Response:
        return await asking.run(door.from_provider, request)

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        form = await form_of(request)
        return await threads.run(door.sign_out, request, form)

    @router.get("/wall")
    async def wall(request: Request) -> Response:
        return await threads.run(door.wall, request)

    return router


class Door:
    """Who comes in at this console."""

    def __init__(self, console: Console) -> None:
        self.console, self.site, self.sessions = console, console.site, console.sessions
        self.attempts = Attempts()
        # by token: wrong secrets of a personal one, and sessions of one that only reads
        self.guesses, self.begun = Attempts(), Attempts()
        self.provider: Any = None
        spec = self.site.plan.console.oidc
        if spec is not None:
            # what signs in takes memory that other consoles need not have
            from changeover.console.sign_in import Provider

            self.provider = Provider(spec)

    def show(self, request: Request) -> Response:
        """Return the page to sign in; who has a session already goes on."""
        place = people.local(request.query_params.get("next", "/"))
        if self.sessions.who(request) is not None:
            return RedirectResponse(place, 303)
        # from elsewhere no strict cookie came along: asked by our own page it does
        if request.headers.get("sec-fetch-site") == "cross-site":
            return people.arrived(self.console, str(request.url.path) + _query(request))
        bound = self.sessions.key(request, UNSIGNED) or secrets.token_urlsafe(32)
        answer = people.shown(
            self.console, request, "sign_in.html.j2", place=place, form=csrf(bound),
            has_provider=self.provider is not None)
        self.sessions.keep(answer, UNSIGNED, bound, clock.now() + LONGEST)
        return answer

    def with_token(self, request: Request, form: dict[str, str]) -> Response:
        """Begin a session for whoever has a token."""
        bound = self.sessions.key(request, UNSIGNED)
        self.sessions.refuse_foreign(request, form, bound)
        who = self._of_token(form.get("token", "").strip())
        if who is None:
            raise self._wrong(request)
        key = console_sessions.begin(
            self.site.store, who, former=self.sessions.key(request))
        answer = RedirectResponse(people.local(form.get("next", "/")), 303)
        self.sessions.keep(answer, PERSON, key, who.expires_at)
        self.sessions.drop(answer, UNSIGNED)
        return answer

    def _of_token(self, text: str) -> SignedIn | None:
        """Return who has a token: a person with their own, or whoever has one of the console's."""
        site, now = self.site, clock.now()
        found = tokens.find(site.store, site.migration, text, now=now)
        if found is not None:
            self._refuse_flood(found)
            until = _end(now, self._lasts, found.expires_at)
            return SignedIn(
                site.migration, found.name, now, until, Source.TOKEN, found.id, found.scope)
        # who knows a token's id could have its slow hash made without end
        token_id, at = approver_tokens.id_in(text), time.monotonic()
        _refuse(self.guesses.wait(token_id, at), "with this token")
        own = approver_tokens.find(site.store, site.migration, text, now=now)
        if own is None:
            if approver_tokens.is_known(site.store, token_id):
                self.guesses.count(token_id, at)
            return None
        until = _end(now, self._lasts, own.expires_at)
        return SignedIn(site.migration, own.name, now, until, Source.APPROVER, own.id)

    @property
    def _lasts(self) -> timedelta:
        spec = self.site.plan.console.oidc
        return spec.session if spec else LONGEST

    def to_provider(self, request: Request) -> Response:
        """Send the browser to the provider."""
        if self.provider is None:
            raise HTTPException(404, "The plan has no provider to sign in with.")
        _refuse_embedded(request)
        self._refuse_too_many(request)
        # each beginning asks the provider over the network, also one that nobody ends
        self.attempts.count(_address(request), time.monotonic())
        address = self.sessions.address(request)
        now, former = clock.now(), self.sessions.key(request)
        url, keeps = self.provider.begin(address, former, now=now)
        answer = RedirectResponse(url, 303)
        self.sessions.keep(answer, BEGUN, keeps, now + UNFINISHED)
        return answer

    def from_provider(self, request: Request) -> Response:
        """Begin a session for the person whom the provider names."""
        if self.provider is None:
            raise HTTPException(404, "The plan has no provider to sign in with.")
        given, now = request.query_params, clock.now()
        state, code = given.get("state", ""), given.get("code", "")
        browser = self.sessions.key(request, BEGUN)
        try:
            name, former = self.provider.end(state, code, browser, now=now)
        except Refused as error:
            raise HTTPException(403, str(error)) from error
        who = SignedIn(self.site.migration, name, now, now + self._lasts)
        key = console_sessions.begin(self.site.store, who, former=former)
        answer = people.arrived(self.console, "/actions")
        self.sessions.keep(answer, PERSON, key, who.expires_at)
        self.sessions.drop(answer, BEGUN)
        return answer

    def sign_out(self, request: Request, form: dict[str, str]) -> Response:
        """End the session, here and in the store; with `everywhere` all of this person's."""
        key, who = self.sessions.key(request), self.sessions.who(request)
        # a page of another site sends no cookie, and must not have one taken away either
        self.sessions.refuse_elsewhere(request)
        if who is not None:
            self.sessions.refuse_foreign(request, form, key)
        store, now = self.site.store, clock.now()
        console_sessions.end(store, key, now=now)
        if who is not None and form.get("everywhere"):
            console_sessions.end_all(store, who.migration, who.name, now=now)
        answer = RedirectResponse("/sign-in", 303)
        self.sessions.drop(answer, PERSON)
        return answer

    def wall(self, request: Request) -> Response:
        """Change a link's token for a cookie that only reads, so that it leaves the address."""
        _refuse_embedded(request)
        site, now = self.site, clock.now()
        text = request.query_params.get("token", "")
        found = tokens.find(site.store, site.migration, text, now=now)
        if found is None:
            raise self._wrong(request)
        # an address is kept in histories and by proxies: nothing that may write belongs there
        if found.scope is not Scope.READ:
            LOG.warning("token %s came in an address, and may %s", found.id, found.scope)
            revoke = f"revoke it with `changeover token revoke {found.id}`"
            raise HTTPException(
                403, f"This token may {found.scope}. In an address others can read it: {revoke}, "
                "and make one for this with `changeover token create wall --scope read --link`.")
        self._refuse_flood(found)
        answer = people.arrived(self.console, "/")
        answer.headers["Referrer-Policy"] = "no-referrer"
        known = self.sessions.key(request, WALL)
        until = _end(now, WALL_LASTS, found.expires_at)
        who = SignedIn(site.migration, found.name, now, until, Source.TOKEN, found.id, Scope.READ)
        key = console_sessions.begin(site.store, who, former=known)
        self.sessions.keep(answer, WALL, key, until)
        return answer

    def _refuse_too_many(self, request: Request) -> None:
        wait = self.attempts.wait(_address(request), time.monotonic())
        _refuse(wait, "from your address")

    def _refuse_flood(self, token: Token) -> None:
        """Refuse ever more sessions of a token that may only read: each is a line of the audit."""
        if token.scope is not Scope.READ:
            return
        at = time.monotonic()
        _refuse(self.begun.wait(token.id, at), "with this token")
        self.begun.count(token.id, at)

    def _wrong(self, request: Request) -> HTTPException:
        """Return the refusal of a token that is not valid, counted.

        Only wrong ones wait: behind a proxy strangers have the address of those who must get in.
        """
        self._refuse_too_many(request)
        address = _address(request)
        self.attempts.count(address, time.monotonic())
        LOG.warning("a sign-in with a token that is not valid, from %s", address)
        return HTTPException(
            401, "This token is not valid. `changeover token list` and `changeover approver list` "
            "show which are.")


def _refuse(wait: float, whose: str) -> None:
    if wait > 0:
        seconds = str(int(wait) + 1)
        raise HTTPException(
            429, f"Too many sign-ins {whose}; try again in {seconds} s.",
            {"Retry-After": seconds})


def _refuse_embedded(request: Request) -> None:
    """Refuse what a page of somebody else loads as a picture: it would use up the attempts here.
    """
    if request.headers.get("sec-fetch-dest", "document") != "document":
        raise HTTPException(403, "Open this address as a page.")


def _address(request: Request) -> str:
    # never by `X-Forwarded-For`: anybody can write that header
    return request.client.host if request.client else ""


def _query(request: Request) -> str:
    return f"?{request.url.query}" if request.url.query else ""


def _end(now: datetime, longest: timedelta, token_ends: datetime | None) -> datetime:
    """Return until when a session lasts: never longer than the token that began it."""
    until = now + longest
    return until if token_ends is None else min(until, token_ends)
