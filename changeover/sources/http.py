"""Asking HTTP sources: with credentials, within a time, and never more than some bytes."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from changeover.machine.http import new_client, tls
from changeover.plan.sources import AuthSpec, HttpSource
from changeover.sources.answer import NoAnswer
from changeover.sources.limits import within
from changeover.sources.secrets import read_variable

LARGEST_BYTES = 1 << 20
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which another attempt may be answered."""


@dataclass(frozen=True, slots=True)
class Received:
    """An answer: its status and its whole body."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether it has what was asked for."""
        return 200 <= self.status < 300

    def refusal(self, why: str = "") -> NoAnswer:
        """Return what an answer that is not good means."""
        return NoAnswer(f"it answered {self.status}{why and f': {why}'}",
                        is_passing=self.status in PASSING)


def fetch(
    source: HttpSource, path: str, folder: Path,
    form: Mapping[str, str] | None = None,
) -> Received:
    """Ask an HTTP source once; it is never followed elsewhere, so credentials stay there.

    Args:
        source: The source as the plan has it.
        path: Below its address, with the query string.
        folder: What `ca_file` is relative to.
        form: Sent as a form by POST; None: GET.

    Raises:
        NoAnswer: It gave none in time, or one that is too large.
    """
    seconds = source.timeout.total_seconds()
    method = "GET" if form is None else "POST"
    # uncompressed: a small answer must not become a huge one here
    headers = {**_headers(source.auth), "accept-encoding": "identity"}
    with new_client(timeout=seconds, verify=_verify(source, folder)) as client:
        def ask() -> Received:
            return _received(client, client.build_request(
                method, source.url + path, headers=headers, data=form), seconds)

        return within(seconds, source.url, ask, client.close)


def _received(client: httpx.Client, request: httpx.Request, seconds: float) -> Received:
    try:
        answer = client.send(request, stream=True)
        return Received(answer.status_code, _body(answer))
    except httpx.TimeoutException:
        raise too_slow(seconds) from None
    except httpx.ConnectError as error:
        # OpenSSL's words, or the system's: neither repeats what was sent
        reason = str(error).strip() or type(error).__name__
        raise NoAnswer(f"no connection: {reason[:200]}", is_passing=True) from None
    except httpx.HTTPError as error:
        raise NoAnswer(f"the answer broke off ({type(error).__name__})",
                       is_passing=True) from None


def _body(answer: httpx.Response) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise NoAnswer("its answer is compressed, although that was not asked for")
    parts, size = [], 0
    for part in answer.iter_raw():
        size += len(part)
        if size > LARGEST_BYTES:
            answer.close()
            raise NoAnswer(f"its answer is larger than {LARGEST_BYTES >> 20} MiB")
        parts.append(part)
    return b"".join(parts)


def too_slow(seconds: float) -> NoAnswer:
    """Return what no answer in time means."""
    return NoAnswer(f"no answer within {seconds:g} s", is_passing=True)


def _headers(auth: AuthSpec) -> dict[str, str]:
    """Return the headers with credentials; read now, so that a new token needs no restart."""
    found = {name: read_variable(variable) for name, variable in auth.headers.items()}
    if auth.bearer:
        found["authorization"] = f"Bearer {read_variable(auth.bearer)}"
    if auth.basic:
        user, is_pair, password = read_variable(auth.basic).partition(":")
        if not is_pair:
            raise NoAnswer(f"the variable {auth.basic} must be `user:password`")
        request = httpx.Request("GET", "http://source")
        signed = next(httpx.BasicAuth(user, password).auth_flow(request))
        found["authorization"] = signed.headers["authorization"]
    return found


def _verify(source: HttpSource, folder: Path) -> Any:
    if source.ca_file is None:
        return tls()
    try:
        return ssl.create_default_context(cafile=str(folder / source.ca_file))
    except OSError as error:
        raise NoAnswer(f"ca_file {source.ca_file} cannot be read: {error.strerror or error}"
                       ) from None
