"""The route that takes outcomes: one, or many at once. Answered when they are stored."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from changeover.console.context import Console
from changeover.console.models import MOST_OUTCOMES, OutcomeIn, OutcomesOut
from changeover.console.problems import of_validation, problem
from changeover.store.tokens import Scope

_ONE: TypeAdapter[OutcomeIn] = TypeAdapter(OutcomeIn)
_MANY: TypeAdapter[list[OutcomeIn]] = TypeAdapter(list[OutcomeIn])
_SCHEMA: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {
    "schema": {"oneOf": [
        {"$ref": "#/components/schemas/OutcomeIn"},
        {"type": "array", "minItems": 1, "maxItems": MOST_OUTCOMES,
         "items": {"$ref": "#/components/schemas/OutcomeIn"}},
    ]}}}}}


def routes(console: Console) -> APIRouter:
    """Return the route that takes outcomes."""
    router = APIRouter(
        prefix="/v1/outcomes", tags=["outcomes"],
        dependencies=[Depends(console.guard.needs(Scope.WRITE))])

    @router.post("", response_model=OutcomesOut, openapi_extra=_SCHEMA, summary="Report outcomes")
    async def report(request: Request) -> Response:
        """Keep an outcome, or an array of them; all or none. Each id counts once, so a report
        whose answer was lost is sent again."""
        batch = _read(await request.body())
        if isinstance(batch, Response):
            return batch
        console.check_outcomes(batch)
        new = await console.outcomes.put(batch)
        answer = OutcomesOut(accepted=len(batch), new=new)
        return Response(answer.model_dump_json(), media_type="application/json")

    return router


def _read(body: bytes) -> list[OutcomeIn] | Response:
    """Return the outcomes of a body, or what is wrong with it.

    Read by pydantic from the bytes themselves: through Python's objects it would take twice as
    long.
    """
    try:
        if not body.lstrip().startswith(b"["):
            return [_ONE.validate_json(body)]
        batch = _MANY.validate_json(body)
    except ValidationError as error:
        return of_validation(error.errors(include_url=False, include_input=False))
    if not 1 <= len(batch) <= MOST_OUTCOMES:
        return problem(422, "not accepted", f"{len(batch)} outcomes at once",
                       allowed=f"1 to {MOST_OUTCOMES}")
    return batch
