"""Where a system is and how it is reached, as the gateway and everything else need it. Pure."""

from __future__ import annotations

from typing import Literal

HttpVersion = Literal["http1", "http2"]
GRPC_HEALTH = "/grpc.health.v1.Health/Check"
"""The path of gRPC's health service: a system with this `health` is asked in gRPC."""
