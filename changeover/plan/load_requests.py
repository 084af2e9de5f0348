"""What load asks: a path to read, or a request with a method, headers and a body. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from changeover.plan.fields import HeaderName, Part, Path

SAFE = ("GET", "HEAD", "OPTIONS")
"""Methods that a system may get a second time without harm."""
_OWN = frozenset({"host", "content-length", "transfer-encoding", "connection", "te", "upgrade",
                  "keep-alive", "proxy-connection", "expect"})
"""Headers that follow from the connection."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a load."""

    path: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    @property
    def is_safe(self) -> bool:
        """Whether a system may get it twice."""
        return self.method in SAFE


class LoadRequest(Part):
    """One request of a load."""

    method: Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    path: Path = "/"
    headers: dict[HeaderName, Annotated[str, Field(pattern=r"^[^\r\n\x00]*$")]] = Field(default={})
    body: dict[str, Any] | list[Any] | str | int | float | bool | None = Field(
        None, description="Sent as JSON; text is sent as it is.")

    @field_validator("headers")
    @classmethod
    def _are_ours(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.lower() in _OWN:
                raise ValueError(f"header {name!r} follows from the connection; leave it out")
        return headers

    @property
    def asked(self) -> Asked:
        """The request as it is sent."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.body is None:
            return Asked(self.path, self.method, tuple(headers.items()))
        body = self.body
        if not isinstance(body, str):
            headers.setdefault("content-type", "application/json")
            body = json.dumps(body, ensure_ascii=False)
        return Asked(self.path, self.method, tuple(headers.items()), body.encode())


def all_asked(paths: list[str] | None, requests: list[LoadRequest]) -> list[Asked]:
    """Return what a check's load asks in turn: its paths, then its requests; `/` without any."""
    if paths is None:
        paths = [] if requests else ["/"]
    return [*(Asked(path) for path in paths), *(each.asked for each in requests)]
