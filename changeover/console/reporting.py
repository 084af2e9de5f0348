"""The route for reported outcomes: one, or many at once. Answered when they are stored."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import FailFast, Field, TypeAdapter, ValidationError
from starlette.responses import Response

from changeover.console.context import Console
from changeover.console.models import MOST_OUTCOMES, OutcomeIn, OutcomesOut
from changeover.console.problems import of_body
from changeover.domain.tokens import Scope

_ONE: TypeAdapter[OutcomeIn] = TypeAdapter(OutcomeIn)
# the first wrong one ends it: a million wrong ones would take seconds, in which nobody is answered
_MANY: TypeAdapter[list[OutcomeIn]] = TypeAdapter(Annotated[
    list[OutcomeIn], Field(min_length=1, max_length=MOST_OUTCOMES), FailFast()])
_SCHEMA: dict[str, Any] = {"requestBody": {"required": True, "content": {"application/json": {
    "schema": {"oneOf": [
        {"$ref": "#/components/schemas/OutcomeIn"},
        {"type": "array", "minItems": 1, "maxItems": MOST_OUTCOMES,
         "items": {"$ref": "#/components/schemas/OutcomeIn"}},
    ]}}}}}


def routes(console: Console) -> APIRouter:
    """Return the route for reported outcomes."""
    router = APIRouter(
        prefix="/v1/outcomes", tags=["outcomes"], route_class=console.auth.route(Scope.WRITE))

    @router.post("", response_model=OutcomesOut, openapi_extra=_SCHEMA, summary="Report outcomes")
    async def report(request: Request) -> Response:
        """Save an outcome, or an array of them; all or none. Each id counts once, so a report
        whose answer was lost is sent again."""
        try:
            batch = _read(await request.body())
        except ValidationError as error:
            return of_body(error)
        answer = OutcomesOut(accepted=len(batch), new=await console.save(batch))
        return Response(answer.model_dump_json(), media_type="application/json")

    return router


def _read(body: bytes) -> list[OutcomeIn]:
    """Return the outcomes of a body.

    Read by pydantic from the bytes themselves: through Python's objects it would take twice as
    long.

    Raises:
        ValidationError: With what is wrong; of several outcomes, with the first wrong one.
    """
    # one outcome or an array: told apart by the first sign, without parsing twice
    if body.lstrip().startswith(b"["):
        return _MANY.validate_json(body)
    return [_ONE.validate_json(body)]
