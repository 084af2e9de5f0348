"""Errors over HTTP: problem details (RFC 9457) with our four parts, and no traceback ever."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from changeover.errors import (
    ChangeoverError,
    EnvironmentProblem,
    InvalidInput,
    Refused,
    StoreError,
    Unreachable,
)

LOG = logging.getLogger("changeover.console")
MEDIA_TYPE = "application/problem+json"
_SEE = "See /openapi.json for what is allowed"
MOST_FAULTS = 1_000
"""To list the faults of a body takes ten times as long as to find them: beyond this they are shown
by their number alone."""
# the first that fits counts: subclasses would stand before their base
_STATUS: list[tuple[type[ChangeoverError], int, str]] = [
    (InvalidInput, 422, "not accepted"),
    (Refused, 409, "refused"),
    (StoreError, 503, "the store cannot be used"),
    (Unreachable, 503, "something does not answer"),
    (EnvironmentProblem, 503, "the machine lacks something"),
]


class Problem(BaseModel):
    """Why a request was not carried out: what, where, what is allowed, what to do next."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    where: str | None = None
    allowed: str | None = None
    next_step: str | None = None


def documented(texts: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """Return what the OpenAPI document says of answers that are problems."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": text, "content": content} for status, text in texts.items()}


def problem(
    status: int, title: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """Return a problem as a response; parts that are empty are left out."""
    content: dict[str, Any] = {"type": "about:blank", "title": title}
    content |= {"status": status, "detail": detail}
    for name, value in more.items():
        # 0 and false are values, so only nothing itself is left out
        if value not in (None, ""):
            content[name] = value
    body = orjson.dumps(content, default=str, option=orjson.OPT_UTC_Z)
    return Response(body, status, media_type=MEDIA_TYPE, headers=headers)


def status_of(error: ChangeoverError) -> int:
    """Return the status with which one of our errors is answered."""
    return _kind_of(error)[0]


def _kind_of(error: ChangeoverError) -> tuple[int, str]:
    for kind, status, title in _STATUS:
        if isinstance(error, kind):
            return status, title
    return 500, "failed"


def of_error(error: ChangeoverError) -> Response:
    """Return one of our errors as a problem."""
    status, title = _kind_of(error)
    # busy for a moment: clients that know the header come back
    headers = {"Retry-After": "1"} if status == 503 else None
    # the where of a broken store may be a path: it is for the log, not for every client
    where = "" if status >= 500 else error.where
    if status >= 500:
        LOG.error("%s", error)
    return problem(status, title, error.what, headers=headers, where=where,
                   allowed=error.allowed, next_step=error.next_step)


def install(app: FastAPI) -> None:
    """Have the application answer every error as a problem."""

    @app.exception_handler(ChangeoverError)
    async def _ours(_request: Request, error: ChangeoverError) -> Response:
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        return of_validation(error.errors())

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        status = error.status_code
        title = HTTPStatus(status).phrase.lower()
        headers = dict(error.headers or {})
        return problem(status, title, str(error.detail), headers=headers)

    @app.exception_handler(ClientDisconnect)
    async def _gone(_request: Request, _error: ClientDisconnect) -> Response:
        # nobody reads it
        return Response(status_code=400)

    @app.exception_handler(Exception)
    async def _unforeseen(_request: Request, error: Exception) -> Response:
        LOG.exception("an unforeseen error", exc_info=error)
        return problem(500, "failed", "an unforeseen error; the console's log has it")


def of_validation(errors: Any) -> Response:
    """Return everything that was wrong with a request's fields; values are not repeated."""
    found = []
    # more would help nobody
    for each in list(errors)[:20]:
        where = ".".join(str(part) for part in each.get("loc", ()))
        found.append({"where": where, "what": each.get("msg", "")})
    first = "the request is not valid"
    if found:
        first = f"{found[0]['where']}: {found[0]['what']}"
    return problem(
        422, "not accepted", first, errors=found, next_step=_SEE)


def of_body(error: ValidationError) -> Response:
    """Return what was wrong with a body that pydantic read from its bytes."""
    count = error.error_count()
    if count > MOST_FAULTS:
        what = f"the body has {count} faults"
        return problem(422, "not accepted", what, next_step=_SEE)
    # without what was sent: a value may be a secret
    found = error.errors(include_url=False, include_input=False)
    return of_validation(found)
