"""How HTTP goes to one system: its protocol, its trust, and gRPC's own way to ask for health.

Neighbour: `changeover.gateway.reaching` says who uses it.
"""

from __future__ import annotations

import threading

import httpx

from changeover.gateway import reaching
from changeover.machine import trust
from changeover.plan.endpoint import GRPC_HEALTH
from changeover.plan.systems import SystemSpec

_GRPC = {"content-type": "application/grpc", "te": "trailers"}
NO_MESSAGE = b"\x00\x00\x00\x00\x00"
"""An empty message of gRPC: not compressed, of no bytes (the whole server is asked for)."""
_SERVING = b"\x08\x01"
"""The message `HealthCheckResponse{status: SERVING}`."""


class SystemTransport(httpx.BaseTransport):
    """Sends requests to a system as the gateway does.

    Args:
        system: The system.
        limits: Of connections.
    """

    def __init__(self, system: SystemSpec, *, limits: httpx.Limits) -> None:
        self._system, self._limits = system, limits
        self._files = system.tls.files if system.tls is not None else ()
        self._lock = threading.Lock()
        self._stamp: trust.Stamp | None = None
        self._made: list[httpx.HTTPTransport] = []
        self._good = 0
        """Which of several addresses took the last connection."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; a GET of gRPC's health is asked in gRPC, and is 200 or 503.

        Raises:
            httpx.TransportError: No answer, or a file of the plan's `tls` cannot be read.
        """
        if self._system.own_host is not None:
            request.headers["host"] = self._system.own_host
        if self._system.is_tls:
            request.extensions["sni_hostname"] = self._system.server_name
        if request.method == "GET" and request.url.path.endswith(GRPC_HEALTH):
            return self._grpc_health(request)
        return self._sent(request)

    def close(self) -> None:
        """Close all connections."""
        for made in self._made:
            made.close()

    def _sent(self, request: httpx.Request) -> httpx.Response:
        """Send a request to an address that takes a connection, first to the last one that did.

        The time for connecting is shared out: a host that is switched off answers nothing at all.
        """
        places = self._system.places
        if self._system.addresses is None:
            return self._newest().handle_request(request)
        problem: httpx.TransportError = httpx.ConnectError("no address")
        limits = dict(request.extensions.get("timeout", {}))
        if limits.get("connect") is not None:
            limits["connect"] /= len(places)
            request.extensions["timeout"] = limits
        first = self._good
        for number in (*range(first, len(places)), *range(first)):
            place = places[number]
            # The headers keep the url's host.
            request.url = request.url.copy_with(host=place.host, port=place.port)
            try:
                answer = self._newest().handle_request(request)
                self._good = number
                return answer
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                problem = error
        raise problem

    def _newest(self) -> httpx.HTTPTransport:
        """Return connections by the files as they are now: certificates are replaced."""
        with self._lock:
            stamp = trust.stamp(self._files)
            if stamp != self._stamp:
                # Requests may be under way on the earlier ones, so these stay open until the end.
                self._made.append(self._make())
                self._stamp = stamp
            return self._made[-1]

    def _make(self) -> httpx.HTTPTransport:
        is_http2 = self._system.protocol == "http2"
        try:
            verify = reaching.tls_context(self._system) if self._system.is_tls else True
        except OSError as error:
            raise httpx.ConnectError(f"the files of tls cannot be used: {error}") from error
        return httpx.HTTPTransport(
            trust_env=False, limits=self._limits, http1=not is_http2, http2=is_http2,
            verify=verify, uds=self._system.socket_path or None)

    def _grpc_health(self, request: httpx.Request) -> httpx.Response:
        asked = httpx.Request(
            "POST", request.url, headers={**request.headers, **_GRPC}, content=NO_MESSAGE,
            extensions=request.extensions)
        answer = self._sent(asked)
        body = answer.read()
        answer.close()
        return httpx.Response(grpc_health(answer.status_code, body), request=request)


def grpc_health(status: int, body: bytes) -> int:
    """Return the HTTP status that an answer of gRPC's health service stands for: 200 or 503."""
    # The status of gRPC is in trailers; the message alone says whether it serves.
    return 200 if status == httpx.codes.OK and body[5:7] == _SERVING else 503
