"""Types of the values in a plan (durations, percentages, sizes, names) for pydantic. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
)
from pydantic_core import CoreSchema

from changeover.plan import units
from changeover.plan.paths import parse_pattern


def listed(value: Any) -> Any:
    """Return a list of one for what is no list: for fields that take one or several."""
    return value if isinstance(value, list | tuple) else [value]


class OneOrMore:
    """Tells editors that one of a list's items needs no list; beside `listed`."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        found = handler(core)
        return {"anyOf": [found["items"], found]}


Duration = Annotated[
    timedelta,
    BeforeValidator(units.parse_duration),
    PlainSerializer(units.format_duration, return_type=str),
    Field(json_schema_extra={"type": ["string", "integer"], "examples": ["500ms", "48h", "7d"]}),
]
Percent = Annotated[
    Decimal,
    BeforeValidator(units.parse_percent),
    PlainSerializer(lambda percent: f"{percent}%", return_type=str),
    Field(json_schema_extra={"type": ["string", "number"], "examples": [5, "0.1%"]}),
]
Size = Annotated[
    int,
    BeforeValidator(units.parse_size),
    Field(json_schema_extra={"type": ["string", "integer"], "examples": ["6.5GB"]}),
]
Share = Annotated[
    float,
    BeforeValidator(units.parse_share),
    Field(json_schema_extra={"type": ["string", "number"], "examples": ["0.1%", 0.95]}),
]
Address = Annotated[
    str,
    BeforeValidator(units.normal_address),
    Field(json_schema_extra={"examples": ["127.0.0.1:8100"]}),
]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
# HTTP does not tell `X-User` from `x-user`
HeaderName = Annotated[
    str, BeforeValidator(lambda v: str(v).lower()), Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,100}$")
]
Cookie = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_|~-]{1,100}$")]
"""Name of a cookie: a token of RFC 6265 without the back quote."""
Parameter = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.~-]{1,100}$")]
Path = Annotated[str, Field(pattern=r"^/[^\s]*$")]
Origin = Annotated[str, Field(pattern=r"^https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?$",
                              examples=["https://app.example"])]
"""Scheme, host and port of pages, as a browser sends them."""
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^/\s:]+(:\d{1,5})?/?$")]


class Part(BaseModel):
    """Base of every part of a plan: no unknown keys, immutable, only finite numbers."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False,
        defer_build=True,  # a validator is made at its first use: a plan's parts need none each
    )


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from error
    return text


Regex = Annotated[str, AfterValidator(_regular_expression)]


def _pattern(text: str) -> str:
    parse_pattern(text)
    return text


Pattern = Annotated[str, AfterValidator(_pattern), Field(examples=["$.items[*].price", "$..id"])]
"""Places in documents, as changeover.plan.paths reads them."""
