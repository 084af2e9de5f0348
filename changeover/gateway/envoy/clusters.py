"""The two systems as Envoy's clusters, and those whose names say who was meant. Pure."""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy import (
    choice,
    concurrency,
    endpoints,
    protocol,
    streams,
    time_limits,
    tls,
)
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.plan.systems import SystemSpec

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy."


def render_clusters(plan: Plan, files: GatewayFiles) -> Json:
    """Return the clusters: both systems, and those whose names say who was meant."""
    candidate = plan.systems.candidate
    behind = [_cluster("candidate", candidate, files)]
    if concurrency.is_limited(plan):
        behind = [_hop(files, candidate), _cluster(concurrency.LIMITED, candidate, files)]
    return {
        "version_info": "1",
        "resources": [
            _cluster("baseline", plan.systems.baseline, files),
            *behind,
            *({**found, "circuit_breakers": _circuit_breakers(None)}
              for found in streams.clusters(plan, files)),
            *(_aggregate(name, clusters)
              for name, clusters in {**choice.BEHIND, **streams.behind(plan)}.items()),
        ],
    }


def _aggregate(name: str, clusters: list[str]) -> Json:
    """Return a cluster that asks others, the first one that is well; it has no host of its own."""
    return {
        "@type": _TYPE + "config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": time_limits.CONNECT,
        "lb_policy": "CLUSTER_PROVIDED",
        "circuit_breakers": _circuit_breakers(None),
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {
                "@type": _TYPE + "extensions.clusters.aggregate.v3.ClusterConfig",
                "clusters": clusters,
            },
        },
    }


def _cluster(name: str, system: SystemSpec, files: GatewayFiles) -> Json:
    cluster: Json = {
        "@type": _TYPE + "config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": time_limits.CONNECT,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        # By default Envoy sends users to ejected hosts as well when more than half are ejected.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        # When the baseline itself is too slow, not everyone may ask it twice.
        "circuit_breakers": _circuit_breakers(
            system.concurrency, *((20, 10) if name == "baseline" else ())),
        "typed_extension_protocol_options": protocol.towards_system(
            system.protocol, idle_timeout=time_limits.seconds(system.keep_alive)),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": endpoints.hosts(name, system)}],
        },
    }
    if name == "candidate":
        cluster["outlier_detection"] = _outlier_detection()
    if system.addresses is not None:
        cluster["outlier_detection"] = _outlier_detection()
        endpoints.spread(cluster, system, is_baseline=name == "baseline")
    if system.socket_path:
        cluster["type"] = "STATIC"
    if system.is_tls:
        cluster["transport_socket"] = tls.upstream(
            "baseline" if name == "baseline" else "candidate", system, files)
    return cluster


def _hop(files: GatewayFiles, candidate: SystemSpec) -> Json:
    """Return the candidate's cluster when its limit is behind a second hop."""
    return {
        "@type": _TYPE + "config.cluster.v3.Cluster",
        "name": "candidate",
        "connect_timeout": time_limits.CONNECT,
        "type": "STATIC",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": _circuit_breakers(None),
        "outlier_detection": _outlier_detection(),
        # Shorter than the hop keeps them, as with every system.
        "typed_extension_protocol_options": protocol.towards_system(
            candidate.protocol, idle_timeout=time_limits.HOP_IDLE),
        "load_assignment": {
            "cluster_name": "candidate",
            "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": concurrency.address(files)},
                 "metadata": {"filter_metadata": {"changeover": {"system": "candidate"}}}},
            ]}],
        },
    }


def _outlier_detection() -> Json:
    """Return when the candidate is ejected for a while: its share then goes to the baseline."""
    # Envoy's defaults are too slow to hide a dead candidate: it looks every 10 s, ejects at most
    # 10 % of the hosts, and none for gateway failures.
    return {
        "consecutive_5xx": 5,
        "consecutive_gateway_failure": 3,
        "enforcing_consecutive_gateway_failure": 100,
        "interval": "0.5s",
        "base_ejection_time": "2s",
        "max_ejection_time": "10s",
        "max_ejection_percent": 100,
    }


def _circuit_breakers(
    concurrency: int | None, retries_percent: int = 100, least_retries: int = 100
) -> Json:
    """Return limits: the plan's concurrency is hard, everything else practically none.

    Args:
        concurrency: Most requests at once.
        retries_percent: Most second attempts at once, in percent of the requests at once.
        least_retries: Second attempts at once that are always allowed.
    """
    # Envoy's own limits are 1024 at once and 3 retries: users would get 503 in any peak.
    most = 100_000
    threshold: Json = {
        "max_connections": most,
        "max_pending_requests": most,
        "max_requests": concurrency or most,
        "retry_budget": {"budget_percent": {"value": retries_percent},
                         "min_retry_concurrency": least_retries},
    }
    return {"thresholds": [threshold]}
