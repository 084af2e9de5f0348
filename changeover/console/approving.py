"""The page `/approve`: a person who signed in answers what the cutover waits for."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from changeover import clock
from changeover.console import page
from changeover.console.context import Console
from changeover.console.sign_in import CALLBACK, UNFINISHED, Provider
from changeover.domain.approvers import rules_of
from changeover.domain.rollout import ANSWERS, Answer, Approval, CutoverStatus, StageAction
from changeover.domain.sessions import SignedIn
from changeover.errors import ApprovalRefused, ChangeoverError, InvalidInput, Refused
from changeover.procedures import proving
from changeover.store import approvals, console_sessions, cutovers, routing

COOKIE, BEGUN = "changeover_session", "changeover_sign_in"
MOST_FIELDS = 20
MOST_COMMENT = 2000


def routes(console: Console) -> APIRouter:
    """Return the routes of signing in and of answering.

    Raises:
        InvalidInput: The plan has no provider.
    """
    router = APIRouter(tags=["people"], include_in_schema=False)
    spec = console.site.plan.console.oidc
    if spec is None:
        raise InvalidInput("the plan has no provider to sign in with", where="console.oidc")
    people = People(console, Provider(spec))

    @router.get("/approve")
    async def show(request: Request) -> Response:
        return await asyncio.to_thread(people.show, request)

    @router.post("/approve")
    async def answer(request: Request) -> Response:
        return await asyncio.to_thread(people.answer, request, await _form(request))

    @router.get("/sign-in")
    async def sign_in(request: Request) -> Response:
        return await asyncio.to_thread(people.sign_in, request)

    @router.get(CALLBACK)
    async def back(request: Request) -> Response:
        return await asyncio.to_thread(people.come_back, request)

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        return await asyncio.to_thread(people.sign_out, request, await _form(request))

    return router


class People:
    """Who signed in at this console, and what they answer."""

    def __init__(self, console: Console, provider: Provider) -> None:
        self.site, self.provider = console.site, provider

    def show(self, request: Request, said: str = "", status: int = 200) -> Response:
        """Return the page: who is signed in, what is asked, who may answer and who has."""
        site, may = self.site, ""
        key, who = self._who(request)
        asked, answered = None, []
        # what is asked is shown to those who signed in alone
        if who:
            asked = approvals.open_for(site.store, site.migration)
        if asked:
            may = rules_of(site.plan, asked.stage).text
            answered = self._answered(asked)
        template = page.templates().get_template("approve.html.j2")
        text = template.render(
            style=page.style(), migration=site.migration, who=who,
            asked=asked, said=said, may=may, answered=answered,
            csrf=_csrf(key), decisions=[str(each) for each in ANSWERS])
        # the page's own form, which the page that only shows has not
        policy = page.policy().replace("form-action 'none'", "form-action 'self'")
        return HTMLResponse(text, status, {"Content-Security-Policy": policy})

    def _answered(self, asked: Approval) -> list[Approval]:
        """Return the answers that were given about the stage."""
        known = approvals.all_of(self.site.store, asked.cutover_id)
        return [each for each in known if each.stage == asked.stage and each.decision]

    def sign_in(self, request: Request) -> Response:
        """Send the browser to the provider."""
        try:
            url, keeps = self.provider.begin(self._address(request), now=clock.now())
        except ChangeoverError as error:
            return self.show(request, str(error), 503)
        response = RedirectResponse(url, 303)
        self._keep(response, BEGUN, keeps, UNFINISHED.seconds)
        return response

    def come_back(self, request: Request) -> Response:
        """Begin a session for the person whom the provider names."""
        given, now = request.query_params, clock.now()
        state, code = given.get("state", ""), given.get("code", "")
        browser = request.cookies.get(BEGUN, "")
        try:
            name = self.provider.end(state, code, browser, now=now)
        except ChangeoverError as error:
            return self.show(request, str(error), 403)
        site, session = self.site, self.provider.spec.session
        who = SignedIn(site.migration, name, now, now + session)
        key = console_sessions.begin(site.store, who)
        response = RedirectResponse("/approve", 303)
        self._keep(response, COOKIE, key, int(session.total_seconds()))
        response.delete_cookie(BEGUN)
        return response

    def sign_out(self, request: Request, form: dict[str, str]) -> Response:
        """End the session, here and in the store."""
        key, who = self._who(request)
        if who is not None and not self._is_own(request, form, key):
            return self.show(request, "This form is not of this page; send it again.", 403)
        console_sessions.end(self.site.store, key, now=clock.now())
        response = RedirectResponse("/approve", 303)
        response.delete_cookie(COOKIE)
        return response

    def answer(self, request: Request, form: dict[str, str]) -> Response:
        """Answer Prefect's form for the person who signed in."""
        key, who = self._who(request)
        if who is None:
            return self.show(request, "Sign in first.", 401)
        if not self._is_own(request, form, key):
            return self.show(request, "This form is not of this page; send it again.", 403)
        try:
            self._give(who, form)
        except ChangeoverError as error:
            return self.show(request, str(error), 409)
        said = f"{who.name}: {form['decision']}."
        return self.show(request, f"{said} The flow acts within seconds.")

    def _give(self, who: SignedIn, form: dict[str, str]) -> None:
        """Hand an answer to the flow run that asks.

        Raises:
            InvalidInput: It is none of the decisions.
            Refused: By the plan it does not count, or the run does not wait for it (yet).
        """
        asked, given = self._asked(form), _answer(who, form)
        code = proving.code_for_form(self.site, asked, given, source="console")
        cutover = cutovers.get(self.site.store, asked.cutover_id)
        # a running cutover may have been continued by another run since it asked
        is_running = cutover.status is CutoverStatus.RUNNING
        run_id = cutover.flow_run_id if is_running else asked.flow_run_id
        if not run_id:
            raise Refused("no flow run carries out this cutover")
        fields = {"decision": str(given.decision)}
        fields |= {"approver": who.name, "comment": given.comment}
        # a form that takes typed names has no such field
        if code:
            fields["code"] = code
        self.site.prefect.resume(run_id, fields)

    def _asked(self, form: dict[str, str]) -> Approval:
        """Return the question that the person saw.

        Raises:
            ApprovalRefused: It is not open any more, or a rollback came first.
        """
        site = self.site
        asked = approvals.open_for(site.store, site.migration)
        state = routing.read(site.store, site.migration)
        # a page that stood open may show an earlier question
        if asked is None or str(asked.id) != form.get("question"):
            raise ApprovalRefused(
                "this was answered already, or is not asked any more")
        if asked.epoch != state.epoch:
            raise ApprovalRefused(
                "the approval changes nothing because a rollback came first")
        return asked

    def _who(self, request: Request) -> tuple[str, SignedIn | None]:
        site, key = self.site, request.cookies.get(COOKIE, "")
        if not key:
            return "", None
        who = console_sessions.find(
            site.store, site.migration, key, now=clock.now())
        return key, who

    def _is_own(self, request: Request, form: dict[str, str], key: str) -> bool:
        """Whether a form is of this page: it has the session's token, and no other origin."""
        origin = request.headers.get("origin")
        is_here = origin in (None, self._address(request))
        return is_here and hmac.compare_digest(
            form.get("csrf", "").encode(), _csrf(key).encode())

    def _address(self, request: Request) -> str:
        # behind a proxy only the plan knows what browsers call this console
        address = self.provider.spec.address or str(request.base_url)
        return address.rstrip("/")

    def _keep(self, response: Response, name: str, value: str, seconds: int) -> None:
        """Give the browser a cookie that no script reads and no other page's form sends."""
        is_tls = (self.provider.spec.address or "").startswith("https:")
        response.set_cookie(
            name, value, max_age=seconds, httponly=True, samesite="lax", secure=is_tls)


def _csrf(key: str) -> str:
    """Return what a form of the session has; nobody knows it without the session's key."""
    if not key:
        return ""
    return hashlib.sha256(f"csrf {key}".encode()).hexdigest()


def _answer(who: SignedIn, form: dict[str, str]) -> Answer:
    decision, comment = form.get("decision", ""), form.get("comment", "")
    if decision not in ANSWERS:
        what = f"{decision[:20]!r} is no decision"
        raise InvalidInput(what, allowed=", ".join(ANSWERS))
    if len(comment) > MOST_COMMENT:
        raise InvalidInput(
            f"the comment has more than {MOST_COMMENT} characters")
    return Answer(StageAction(decision), who.name, comment, "console")


async def _form(request: Request) -> dict[str, str]:
    body: Any = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qs(body, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise InvalidInput("the form has too many fields", allowed=str(MOST_FIELDS)) from None
    return {name: values[0] for name, values in fields.items()}
