"""A system of every kind of long connection: a small Envoy in front of two of the tests' systems.

Calls of gRPC go to a real server of gRPC, everything else (websockets, event streams, requests) to
the system of HTTP/1.1. To the outside it speaks HTTP/2, with websockets as extended CONNECT.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from changeover.gateway.process import envoy_program
from tests.support.grpc_system import GrpcSystem
from tests.support.processes import free_port, running, upstream

Json = dict[str, Any]
_TYPE = "type.googleapis.com/envoy."
_FILTERS = "extensions.filters."
_OPTIONS = "extensions.upstreams.http.v3.HttpProtocolOptions"


@contextlib.contextmanager
def serving(name: str, port: int, directory: Path) -> Iterator[GrpcSystem]:
    """Serve on a port until the block ends."""
    plain, calls = free_port(), free_port()
    config, system = directory / f"{name}.json", GrpcSystem(name)
    config.write_text(json.dumps(_config(port, plain, calls)))
    command = [envoy_program(), "-c", str(config), "--use-dynamic-base-id", "--concurrency", "1",
               "--log-level", "warning"]
    with (
        upstream(name, plain, directory), system.serving(f"127.0.0.1:{calls}"),
        running(command, directory / f"{name}-front.log"),
    ):
        yield system


def _config(port: int, plain: int, calls: int) -> Json:
    of_calls = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
    limits = {"timeout": "0s", "idle_timeout": "0s"}
    manager = {
        "@type": f"{_TYPE}{_FILTERS}network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front", "stream_idle_timeout": "0s",
        "http2_protocol_options": {"allow_connect": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/", "headers": [of_calls]},
             "route": {"cluster": "calls", **limits}},
            {"match": {"prefix": "/"}, "route": {"cluster": "plain", **limits}}]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": f"{_TYPE}{_FILTERS}http.router.v3.Router"}}]}
    return {"static_resources": {
        "listeners": [{"name": "front", "address": _address(port), "filter_chains": [{"filters": [
            {"name": "manager", "typed_config": manager}]}]}],
        "clusters": [_cluster("plain", plain, {"http_protocol_options": {}}),
                     _cluster("calls", calls, {"http2_protocol_options": {}})]}}


def _address(port: int) -> Json:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name: str, port: int, protocol: Json) -> Json:
    most = {"max_connections": 10_000, "max_requests": 10_000, "max_pending_requests": 10_000}
    return {
        "name": name, "type": "STATIC", "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [most]},
        "typed_extension_protocol_options": {f"envoy.{_OPTIONS}": {
            "@type": f"{_TYPE}{_OPTIONS}", "explicit_http_config": protocol}},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": _address(port)}}]}]}}
