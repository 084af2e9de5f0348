"""The pages on which people act: a list, a confirmation with the effect in numbers, what was done.

1. `GET /actions/NAME` asks for what must be known, and then shows what would happen.
2. `POST /actions/NAME` looks at the session, the form's origin and token, the person's rights, and
   whether what was shown still holds. Then the form is taken up once and carried out.
3. The answer sends the browser to `/actions/done/KEY`, which can be opened again at will.
"""

from __future__ import annotations

import secrets
import time
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from changeover import clock
from changeover.console import action_table, actions, carrying_out, people, situation
from changeover.console.actions import Action, Group, Situation
from changeover.console.carrying_out import Order
from changeover.console.context import Console
from changeover.console.limiting import Attempts
from changeover.console.sessions import form_of
from changeover.domain.approvers import rules_of
from changeover.domain.audit import NewEvent
from changeover.domain.sessions import SignedIn
from changeover.errors import (
    ChangeoverError,
    InvalidInput,
    PublishFailed,
    Refused,
    StoreBusy,
    StoreError,
)
from changeover.site.site import Site
from changeover.store import approvals, audit, console_forms
from changeover.store.console_forms import Form
from changeover.store.console_sessions import digest
from changeover.store.write_queue import first_in_line

WAITED_SECONDS = 20.0
"""How long a form that was sent twice waits for what the first one says."""
PAUSE_SECONDS = 0.2
EMERGENCY = "emergency"


def routes(console: Console) -> APIRouter:
    """Return the routes of actions."""
    router = APIRouter(
        tags=["people"], include_in_schema=False, route_class=people.route_of(console))
    desk = Desk(console)
    # to bring users back nobody waits for those who answer, which takes seconds
    threads, urgent = people.Threads("acting", 4), people.Threads("going-back", 4)
    # nor does the page that asks for it: without its form nobody is brought back
    looking = people.Threads("looking", 4)

    @router.get("/approve")
    async def approve() -> Response:
        # messages that were sent long ago name this address
        return RedirectResponse("/actions/answer", 303)

    @router.get("/actions")
    async def overview(request: Request) -> Response:
        return await looking.run(desk.overview, request)

    @router.get("/actions/done/{key}")
    async def done(request: Request, key: str) -> Response:
        return await looking.run(desk.done, request, key)

    @router.get("/actions/{name}")
    async def show(request: Request, name: str) -> Response:
        return await looking.run(desk.show, request, name)

    @router.post("/actions/{name}")
    async def act(request: Request, name: str) -> Response:
        form = await form_of(request)
        pool = urgent if name in ("emergency", "rollback") else threads
        return await pool.run(desk.act, request, name, form)

    return router


class Desk:
    """Where people act at this console."""

    def __init__(self, console: Console) -> None:
        self.console, self.sessions = console, console.sessions
        self.site = carrying_out.patient(console.site)
        self.refusals = Attempts()

    @cached_property
    def hurried(self) -> Site:
        """The migration for an emergency, with a store that is not waited for."""
        return carrying_out.hurried(self.site)

    def overview(self, request: Request) -> Response:
        """Return the list of actions, each with why it is not possible now."""
        if (away := self._sign_in(request)) is not None:
            return away
        present = situation.of_site(self.site)
        groups: dict[str, list[Any]] = {str(each): [] for each in Group}
        for each in action_table.ACTIONS:
            groups[each.group].append((each, each.closed(present)))
        return people.shown(
            self.console, request, "actions.html.j2",
            groups=groups, state=present.state.describe())

    def show(self, request: Request, name: str) -> Response:
        """Ask for what must be known; when all is, show what would happen."""
        action = _named(name)
        if (away := self._sign_in(request)) is not None:
            return away
        given = dict(request.query_params)
        return self._page(request, action, given)

    def _page(
        self, request: Request, action: Action, given: dict[str, str], *, said: str = "",
        status: int = 200,
    ) -> Response:
        present = situation.of_site(self.site)
        values, lines, problem = None, [], action.closed(present)
        is_asked = not action.fields or any(each.name in given for each in action.fields)
        if not problem and is_asked:
            try:
                values = actions.checked(action, present, given)
                lines = action.effect(present, values)
            except (InvalidInput, Refused) as error:
                said, values = said or str(error), None
        fields = []
        for each in action.fields:
            choices = each.choices(present) if each.choices else None
            fields.append((each, choices, given.get(each.name, "")))
        return people.shown(
            self.console, request, "act.html.j2", status=status,
            action=action, fields=fields, values=values, lines=lines,
            closed=problem, said=said, reason=given.get("reason", ""),
            seen=action.seen(present, values or {}), key=secrets.token_urlsafe(24),
            evidence=self._evidence(action, present))

    def _evidence(self, action: Action, present: Situation) -> dict[str, Any]:
        """Return what stands beside a question: who may answer, who has, what was found."""
        asked = present.asked
        if action.name != "answer" or asked is None:
            return {}
        known = approvals.all_of(self.site.store, asked.cutover_id)
        answered = [each for each in known if each.stage == asked.stage and each.decision]
        may = rules_of(self.site.plan, asked.stage).text
        return {"asked": asked, "may": may, "answered": answered}

    def act(
        self, request: Request, name: str, form: dict[str, str]
    ) -> Response:
        """Carry out a form, once; send the browser to what came of it."""
        action, key = _named(name), self.sessions.key(request)
        who = people.who_acts(self.console, request)
        self.sessions.refuse_foreign(request, form, key)
        self._refuse_unentitled(who, action)
        once = form.get("key", "")
        if not 20 <= len(once) <= 60:
            raise HTTPException(422, "The form has no key; open the page again.")
        # of this session: nobody takes up, or reads, the form of somebody else
        form_id = digest(f"{key} {once}")
        known = console_forms.find(self.site.store, self.site.migration, form_id)
        if known is None:
            again = self._look_again(request, action, form)
            if again is not None:
                return again
        if known is None or known.ended_at is None:
            order = self._order(action, who, form, form_id)
            said = self._once(action, order)
            if said:
                return self._without_store(request, action, said)
        return RedirectResponse(f"/actions/done/{once}", 303)

    def _order(
        self, action: Action, who: SignedIn, form: dict[str, str], form_id: str
    ) -> Order:
        values = actions.checked(action, self._now(action), form)
        values["seen"] = form.get("seen", "")
        site = self.hurried if action.name == EMERGENCY else self.site
        return Order(site, who, values, form_id, actions.reason_of(form, action.group))

    def _now(self, action: Action) -> Situation:
        """Return what must be known to carry an action out."""
        # samples that are locked or damaged must not keep users at the candidate
        if action.name == EMERGENCY:
            return situation.brief(self.site)
        return situation.of_site(self.site)

    def _without_store(self, request: Request, action: Action, said: str) -> Response:
        """Return what was done while the store could not even note the form."""
        now = clock.now()
        form = Form("", self.site.migration, action.name, "", now, now, True, said)
        return people.shown(
            self.console, request, "done.html.j2", form=form, action=action)

    def _refuse_unentitled(self, who: SignedIn, action: Action) -> None:
        may = self.sessions.rights(who)
        if may.allows(action.needs):
            return
        now, at = clock.now(), time.monotonic()
        # audited, but not without end: somebody could fill the audit by trying
        if not self.refusals.wait(who.name, at):
            self.refusals.count(who.name, at)
            facts = {"action": action.name, "by": who.by, "may": str(may)}
            audit.record(self.site.store, self.site.migration, NewEvent(
                actor=who.name, kind="console.refused", at=now, data=facts))
        raise HTTPException(
            403, f"{who.name} may {may}; {action.title} needs {action.needs}. "
            "The plan's `approvers` and the tokens' scopes say who may act.")

    def _look_again(
        self, request: Request, action: Action, form: dict[str, str]
    ) -> Response | None:
        """Return the page once more when what was shown does not hold any more, or says too little.
        """
        present = self._now(action)
        try:
            actions.refuse_closed(action, present)
            values = actions.checked(action, present, form)
            actions.reason_of(form, action.group)
        except (InvalidInput, Refused) as error:
            return self._page(request, action, form, said=str(error), status=409)
        if action.seen(present, values) != form.get("seen", ""):
            return self._page(
                request, action, form, status=409,
                said="Meanwhile something has changed; look at it again.")
        return None

    def _once(self, action: Action, order: Order) -> str:
        """Take up the form and carry it out, or wait for whoever does.

        Returns:
            What was done when the store could not note it; mostly nothing.
        """
        store, now = order.site.store, clock.now()
        begun = Form(
            order.form_id, self.site.migration, action.name, order.who.name, now)
        try:
            with self._turn(action):
                known = console_forms.begin(store, begun, by=order.who.by)
        except StoreBusy:
            # users first: what brings everyone back needs no note, and may be done twice
            if action.name != EMERGENCY:
                raise
            return carrying_out.BY_NAME[action.name](order).lines
        # whoever began an emergency may be dead: it is not waited for, and done again
        if known is not None and (known.ended_at or action.name != EMERGENCY):
            if known.ended_at is None:
                self._wait(order.form_id)
            return ""
        said, is_done = _carried_out(action, order)
        try:
            console_forms.end(
                store, order.form_id, said, is_done=is_done, now=clock.now())
        except StoreBusy:
            return said
        return ""

    def _turn(self, action: Action) -> AbstractContextManager[None]:
        """Return whose turn it is to write: a rollback goes before all others."""
        return first_in_line() if action.group is Group.BACK else nullcontext()

    def _wait(self, form_id: str) -> None:
        def ended() -> Form | None:
            return console_forms.find(self.site.store, self.site.migration, form_id)

        def is_over(form: Form | None) -> bool:
            return form is not None and form.ended_at is not None

        clock.poll_until(ended, is_over, seconds=WAITED_SECONDS, pause=PAUSE_SECONDS)

    def done(self, request: Request, once: str) -> Response:
        """Return what came of a form."""
        if (away := self._sign_in(request)) is not None:
            return away
        form_id = digest(f"{self.sessions.key(request)} {once}")
        form = console_forms.find(self.site.store, self.site.migration, form_id)
        if form is None:
            raise HTTPException(404, "No such form was sent in this session.")
        action = _named(form.action)
        status = 200 if form.is_done or form.ended_at is None else 409
        return people.shown(
            self.console, request, "done.html.j2", status=status, form=form, action=action)

    def _sign_in(self, request: Request) -> Response | None:
        """Return the way to sign in for those who have not."""
        if self.sessions.who(request) is not None:
            return None
        return people.to_sign_in(request)


def _carried_out(action: Action, order: Order) -> tuple[str, bool]:
    """Carry a form out; return what came of it, and whether it was done.

    Raises:
        StoreError: Nobody knows: sent again after a while, the form is carried out once more.
    """
    try:
        return carrying_out.BY_NAME[action.name](order).lines, True
    except PublishFailed as error:
        # the state is changed all the same, and the observer goes on publishing it
        return f"{error}. The observer goes on trying.", True
    except StoreError:
        raise
    except ChangeoverError as error:
        return str(error), False


def _named(name: str) -> Action:
    found = action_table.BY_NAME.get(name)
    if found is None:
        raise HTTPException(404, "There is no such action.")
    return found
