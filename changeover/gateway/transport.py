"""How HTTP goes to one system: its protocol, and gRPC's own way to ask for health.

Neighbour: `changeover.gateway.reaching` says who uses it.
"""

from __future__ import annotations

import httpx

from changeover.plan.endpoint import GRPC_HEALTH
from changeover.plan.model import SystemSpec

_GRPC = {"content-type": "application/grpc", "te": "trailers"}
_NO_MESSAGE = b"\x00\x00\x00\x00\x00"
"""An empty message of gRPC: not compressed, of no bytes (the whole server is asked for)."""
_SERVING = b"\x08\x01"
"""The message `HealthCheckResponse{status: SERVING}`."""


class SystemTransport(httpx.HTTPTransport):
    """Sends requests to a system as the gateway does.

    Args:
        system: The system.
        limits: Of connections.
    """

    def __init__(self, system: SystemSpec, *, limits: httpx.Limits) -> None:
        is_http2 = system.protocol == "http2"
        super().__init__(
            trust_env=False, limits=limits, http1=not is_http2, http2=is_http2)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; a GET of gRPC's health is asked in gRPC, and is 200 or 503."""
        if request.method == "GET" and request.url.path.endswith(GRPC_HEALTH):
            return self._grpc_health(request)
        return super().handle_request(request)

    def _grpc_health(self, request: httpx.Request) -> httpx.Response:
        asked = httpx.Request(
            "POST", request.url, headers={**request.headers, **_GRPC}, content=_NO_MESSAGE,
            extensions=request.extensions)
        answer = super().handle_request(asked)
        body = answer.read()
        answer.close()
        # The status of gRPC is in trailers; the message alone says whether it serves.
        is_serving = answer.status_code == httpx.codes.OK and body[5:7] == _SERVING
        return httpx.Response(200 if is_serving else 503, request=request)
