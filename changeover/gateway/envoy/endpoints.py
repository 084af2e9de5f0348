"""The addresses of a system, and how Envoy finds out which of them are well. Pure."""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy import time_limits
from changeover.plan.endpoint import GRPC_HEALTH, Place
from changeover.plan.systems import SystemSpec

Json = dict[str, Any]

EVERY = "1s"
"""How often each address is asked for its health, with and without traffic."""
UNHEALTHY_AFTER = 2
"""So many bad answers in a row, and an address gets no more requests."""
ONE_IS_ENOUGH = 100_000
"""Percent of a cluster's capacity that its healthy hosts are taken for: one of a thousand carries
all. By Envoy's 140 a cluster that lost some would send a part of its users to the next one."""


def hosts(name: str, system: SystemSpec) -> list[Json]:
    """Return a system's hosts for a cluster's load assignment."""
    found = []
    for place in system.places:
        host: Json = {
            # The access log names the system by this: addresses change, and may be shared.
            "endpoint": {"address": _address(place)},
            "metadata": {"filter_metadata": {"changeover": {"system": name}}},
        }
        if system.addresses is not None:
            host["load_balancing_weight"] = place.weight
        found.append(host)
    return found


def spread(cluster: Json, system: SystemSpec, *, is_baseline: bool) -> None:
    """Have a cluster share its requests among addresses that are well.

    Args:
        cluster: The cluster, which is changed.
        system: The system, with several addresses.
        is_baseline: Whether there is nobody else: with no address that is well, all are asked.
    """
    if system.dns == "logical":
        cluster["type"] = "LOGICAL_DNS"
    cluster["load_assignment"]["policy"] = {"overprovisioning_factor": ONE_IS_ENOUGH}
    if is_baseline:
        cluster["common_lb_config"] = {"healthy_panic_threshold": {"value": 1}}
    cluster["ignore_health_on_host_removal"] = True
    cluster["health_checks"] = [{
        "timeout": time_limits.seconds(system.health_timeout), "interval": EVERY,
        "no_traffic_interval": EVERY, "no_traffic_healthy_interval": EVERY,
        "unhealthy_threshold": UNHEALTHY_AFTER, "healthy_threshold": 1, **_asked(system)}]


def another_host() -> Json:
    """Return what has a second attempt go to another address than the first one."""
    return {
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.retry.host."
                             "previous_hosts.v3.PreviousHostsPredicate"}}],
        "host_selection_retry_max_attempts": 5,
    }


def _asked(system: SystemSpec) -> Json:
    if system.health.endswith(GRPC_HEALTH):
        return {"grpc_health_check": {"authority": system.authority}}
    codec = {"codec_client_type": "HTTP2"} if system.protocol == "http2" else {}
    return {"http_health_check": {
        "path": system.base_path + system.health, "host": system.authority,
        "expected_statuses": [{"start": 200, "end": 300}], **codec}}


def _address(place: Place) -> Json:
    if place.socket:
        return {"pipe": {"path": place.socket}}
    return {"socket_address": {"address": place.host, "port_value": place.port}}
