"""Sessions at the console: who a browser is, what it keeps, and which forms are its own.

A browser keeps a random id in a cookie that no script reads and no other site's page sends. What a
form has is a hash of that id, so that a page of somebody else can neither know nor make it.
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from changeover import clock
from changeover.domain.sessions import SignedIn, rights
from changeover.domain.tokens import Scope
from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.site.site import Site
from changeover.store import console_sessions

PERSON, WALL, UNSIGNED, BEGUN = "session", "wall", "form", "sign_in"
"""What a browser may keep: a person's session, a wall screen's, what an unsigned form is bound to,
and a sign-in that began at the provider."""
MOST_FIELDS = 20
FORM = "application/x-www-form-urlencoded"
_NOT_OURS = "This form is not of this page; open the page again and send it once more."


class Sessions:
    """The sessions of one console.

    Args:
        site: The migration.
        is_local: Whether only this machine reaches the console.
    """

    def __init__(self, site: Site, *, is_local: bool) -> None:
        self.site, self.is_local = site, is_local
        self.public = site.plan.console.public
        self.is_tls = self.public.startswith("https:")

    def name(self, kind: str) -> str:
        """Return a cookie's name: of this migration, since cookies know no ports."""
        # browsers take this one only with Secure, for this host alone, and for all paths
        start = "__Host-" if self.is_tls else ""
        return f"{start}changeover_{kind}_{self.site.migration}"

    def key(self, request: Request, kind: str = PERSON) -> str:
        """Return what a browser keeps; empty when it keeps nothing."""
        return request.cookies.get(self.name(kind), "")

    def who(self, request: Request) -> SignedIn | None:
        """Return the person whose session a request is of."""
        return self._find(self.key(request))

    def reader(self, request: Request) -> SignedIn | None:
        """Return who may read: a person who signed in, or a screen on a wall."""
        return self.who(request) or self._find(self.key(request, WALL))

    def _find(self, key: str) -> SignedIn | None:
        # no look at the store for what cannot be a key
        if not 40 <= len(key) <= 60:
            return None
        site = self.site
        return console_sessions.find(
            site.store, site.migration, key, now=clock.now())

    def rights(self, who: SignedIn) -> Scope:
        """Return what somebody may do, by the plan of this process."""
        return rights(who, self.site.plan)

    def keep(
        self, response: Response, kind: str, value: str, until: datetime
    ) -> None:
        """Give the browser a cookie that no script reads and no other site's page sends."""
        seconds = max(0, int((until - clock.now()).total_seconds()))
        # the provider sends the browser back here: only that cookie comes along
        same: Literal["lax", "strict"] = "lax" if kind == BEGUN else "strict"
        response.set_cookie(
            self.name(kind), value, max_age=seconds, path="/",
            httponly=True, samesite=same, secure=self.is_tls)

    def drop(self, response: Response, kind: str) -> None:
        """Take a cookie away."""
        response.delete_cookie(
            self.name(kind), path="/", secure=self.is_tls, httponly=True)

    def refuse_foreign(
        self, request: Request, form: dict[str, str], key: str
    ) -> None:
        """Refuse a form that another site's page, or another session's, has sent.

        Raises:
            HTTPException: 403.
        """
        self.refuse_elsewhere(request)
        given, own = form.get("csrf", ""), csrf(key)
        # two empty ones are equal
        if not key or not hmac.compare_digest(given.encode(), own.encode()):
            raise HTTPException(403, _NOT_OURS)

    def refuse_elsewhere(self, request: Request) -> None:
        """Refuse what a browser says that a page from elsewhere sends.

        Raises:
            HTTPException: 403.
        """
        # browsers write both headers themselves; no script can
        if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise HTTPException(403, _NOT_OURS)
        origin = request.headers.get("origin")
        if origin is None:
            return
        host = request.headers.get("host", "")
        # not parsed: what is no address is nobody's
        named = origin.partition("://")[2]
        # with a proxy in front browsers call it by its public name; by that no other scheme counts
        is_public = origin == self.public
        is_same_host = named == host and named != urlsplit(self.public).netloc
        if not (is_public or (is_same_host and named)):
            raise HTTPException(403, _NOT_OURS)

    def address(self, request: Request) -> str:
        """Return what browsers call this console.

        Raises:
            EnvironmentProblem: Only the request says it, which anybody can write as they like.
        """
        if self.public:
            return self.public
        # on loopback nothing but its own names is let in at all
        if self.is_local:
            return str(request.base_url).rstrip("/")
        raise EnvironmentProblem(
            "nobody can sign in there because the plan does not say the console's address",
            where="console.address",
            next_step="Write what browsers call it, as `address: https://changeover.example.com`")


def csrf(key: str) -> str:
    """Return what a form of the session has; nobody knows it without the session's key."""
    if not key:
        return ""
    return hashlib.sha256(f"csrf {key}".encode()).hexdigest()


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form, the first value of each.

    Raises:
        HTTPException: 415, it is no form.
        InvalidInput: It has too many fields.
    """
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind.strip().lower() != FORM:
        raise HTTPException(415, f"the body must be {FORM}")
    body: Any = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qs(body, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidInput(
            "the form has too many fields", allowed=str(MOST_FIELDS)) from None
    return {name: values[0] for name, values in fields.items()}
