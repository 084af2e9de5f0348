"""Routes about claims: the right of one system to act on an item."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request
from pydantic import ValidationError
from starlette.responses import Response

from changeover.console.context import Console
from changeover.console.models import (
    ITEM,
    ClaimIn,
    ClaimOut,
    FailIn,
    FailOut,
    HandOverIn,
    HeldIn,
    RenewIn,
    document,
    lease_of,
)
from changeover.console.problems import documented, of_body, problem
from changeover.domain.claims import Claim, NewClaim, Refusal, Why
from changeover.domain.rollbacks import Cause, RollbackSeverity
from changeover.domain.routing import ON_USERS
from changeover.domain.tokens import Scope
from changeover.errors import InvalidInput
from changeover.procedures import rollback
from changeover.store import claims, rollbacks, routing
from changeover.store.claims import ClaimRequest

Item = Annotated[str, Path(pattern=ITEM, description="Name of the item, as `acme:shop:42`.")]
_REFUSALS = documented({
    404: "Nobody ever claimed this item.",
    409: "Refused; `why` says for programs why: " + ", ".join(why.value for why in Why) + ".",
})
_NAME = re.compile(ITEM)
# what FastAPI cannot see of the route that reads its request itself
_SCHEMA: dict[str, Any] = {
    "parameters": [{"name": "item", "in": "path", "required": True,
                    "description": "Name of the item, as `acme:shop:42`.",
                    "schema": {"type": "string", "pattern": ITEM}}],
    "requestBody": {"required": True, "content": {"application/json": {
        "schema": {"$ref": "#/components/schemas/ClaimIn"}}}},
}


def routes(console: Console) -> APIRouter:
    """Return the routes about claims."""
    router = APIRouter(
        prefix="/v1/claims", tags=["claims"], responses=_REFUSALS,
        route_class=console.auth.route(Scope.WRITE))
    answers = _Claims(console)
    claim = router.post("/{item}", response_model=ClaimOut, openapi_extra=_SCHEMA,
                        summary="Claim an item")
    claim(answers.claim)
    for path, answer, summary in (
        ("renew", answers.renew, "Hold an item longer"),
        ("complete", answers.complete, "An item is done"),
        ("release", answers.release, "Give an item back"),
        ("hand-over", answers.hand_over, "Give to the other system"),
    ):
        router.post(f"/{{item}}/{path}", response_model=ClaimOut, summary=summary)(answer)
    fail = router.post(
        "/{item}/fail", response_model=FailOut,
        summary="An item could not be done")
    fail(answers.fail)
    return router


class _Claims:
    """Answers the requests about claims."""

    def __init__(self, console: Console) -> None:
        self._console, self._plan = console, console.site.plan

    async def claim(self, request: Request) -> Response:
        """Give the right to act on an item to one holder, if its system has it in this mode.

        The same holder asking again gets the same token and a new lease.
        """
        item, body = request.path_params["item"], await request.body()
        try:
            wanted = _request_of(self._console, item, body)
        except ValidationError as error:
            return of_body(error)
        found = await self._console.claims.put(wanted)
        result = "granted"
        # counted here: a claim that was refused is not in the store
        if isinstance(found, Refusal):
            result = found.why.value
        self._console.counts.claimed(result)
        return _answer(found)

    async def renew(self, item: Item, body: RenewIn) -> Response:
        """Begin a new lease. After a rollback the candidate's are not renewed."""
        lease = lease_of(body.lease_seconds) or self._plan.claims.lease
        return await self._put(claims.renewing(item, body.token, lease))

    async def complete(self, item: Item, body: HeldIn) -> Response:
        """Make the claim final: nobody ever claims this item again."""
        return await self._put(claims.completing(item, body.token))

    async def release(self, item: Item, body: HeldIn) -> Response:
        """Let whoever is entitled claim the item at once."""
        return await self._put(claims.releasing(item, body.token))

    async def hand_over(self, item: Item, body: HandOverIn) -> Response:
        """Let the other system claim the item, whatever the mode; to the candidate only while
        users are on it."""
        wanted = claims.handing_over(item, body.token, body.to, body.reason)
        return await self._put(wanted)

    async def fail(self, item: Item, body: FailIn) -> Response:
        """Hand what the candidate failed to the baseline; in candidate_only this rolls back when
        the plan says `claims: {rollback_on_failure: true}`. Say it again if no answer comes."""
        may_roll_back = self._plan.claims.rollback_on_failure
        wanted = claims.failing(
            item, body.token, body.reason, may_roll_back=may_roll_back)
        found = await self._console.claims.put(wanted)
        if isinstance(found, Refusal):
            return _answer(found)
        done = None
        # not asked otherwise: reading the state would cost each failure a query
        if may_roll_back:
            done = await asyncio.to_thread(_roll_back, self._console)
        return _json({"claim": document(found), "rollback": done})

    async def _put(self, wanted: ClaimRequest) -> Response:
        return _answer(await self._console.claims.put(wanted))


def _request_of(console: Console, item: str, content: bytes) -> ClaimRequest:
    """Return what a claim's HTTP request asks for.

    By hand, and from the bytes: this is the request that comes a thousand times a second.

    Raises:
        ValidationError: The body is not a `ClaimIn`.
        InvalidInput: No name of an item, or a segment that the plan does not have.
    """
    if not _NAME.fullmatch(item):
        raise InvalidInput("this is no name of an item", where="path.item", allowed=ITEM)
    body = ClaimIn.model_validate_json(content)
    plan = console.site.plan
    told = console.check_segments(body.segments)
    by_key = plan.routing.segments_of(body.key or item)
    lease = lease_of(body.lease_seconds) or plan.claims.lease
    return claims.claiming(NewClaim(
        item, body.system, body.holder, lease=lease,
        key=body.key or "", segments=told | by_key,
        rule=plan.routing.rule))


def _roll_back(console: Console) -> str | None:
    """Start the rollback that failed items call for; the observer then runs `rollback/main`.

    The call for it is in the failure's transaction: if this process dies, the observer does it.
    """
    site = console.site
    state = routing.read(site.store, site.migration)
    wanted = rollbacks.wanted(site.store, state)
    if wanted is None or state.mode not in ON_USERS:
        return None
    cause = Cause("console", wanted, RollbackSeverity.CRITICAL)
    started = rollback.start(site, cause)
    return started.state.describe()


def _answer(found: Claim | Refusal) -> Response:
    if isinstance(found, Claim):
        return _json(document(found))
    if found.why is Why.UNKNOWN:
        return problem(404, "unknown item", found.reason, why=found.why.value)
    more: dict[str, Any] = {}
    if found.claim is not None:
        shown = document(found.claim)
        # that is its holder's: with it anybody could complete or give away the item
        del shown["token"]
        more["claim"] = shown
    return problem(409, "refused", found.reason, why=found.why.value, **more)


def _json(content: dict[str, Any]) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z)
    return Response(body, media_type="application/json")
