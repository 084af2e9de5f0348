"""The two systems as Envoy's clusters, and those whose names say who was meant. Pure."""

from __future__ import annotations

from typing import Any

from changeover.domain.routing import System
from changeover.gateway.envoy import (
    choice,
    endpoints,
    hop,
    protocol,
    streams,
    time_limits,
    tls,
)
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan

Json = dict[str, Any]

_TYPE = "type.googleapis.com/envoy."


def render_clusters(plan: Plan, files: GatewayFiles) -> Json:
    """Return the clusters: both systems, and those whose names say who was meant."""
    return {
        "version_info": "1",
        "resources": [
            *(found for name in System for found in _of_system(plan, name, files)),
            *({**found, "circuit_breakers": _circuit_breakers(None)}
              for found in streams.clusters(plan, files)),
            *(_aggregate(name, clusters)
              for name, clusters in {**choice.BEHIND, **streams.behind(plan)}.items()),
        ],
    }


def _of_system(plan: Plan, name: System, files: GatewayFiles) -> list[Json]:
    """Return the cluster that users are sent to, and the one behind its hop, where it has one."""
    if not hop.has(plan, name):
        return [_cluster(plan, name, files)]
    return [_before_hop(plan, name, files), _cluster(plan, name, files, cluster=hop.behind(name))]


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


def _cluster(
    plan: Plan, name: System, files: GatewayFiles, *, cluster: str | None = None
) -> Json:
    """Return a system's own cluster, or with a name for it the one behind the system's hop."""
    system = plan.system(name)
    found: Json = {
        "@type": _TYPE + "config.cluster.v3.Cluster",
        "name": cluster or str(name),
        "connect_timeout": time_limits.CONNECT,
        "type": "STATIC" if system.socket_path else "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        # By default Envoy sends users to ejected hosts as well when more than half are ejected.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": _limits(name, None if cluster and _is_baseline(name)
                                    else system.concurrency),
        "typed_extension_protocol_options": protocol.towards_system(
            system.protocol, idle_timeout=time_limits.seconds(system.keep_alive)),
        "load_assignment": {
            "cluster_name": cluster or str(name),
            "endpoints": [{"lb_endpoints": endpoints.hosts(str(name), system)}],
        },
    }
    if not _is_baseline(name) and cluster is None:
        found["outlier_detection"] = _outlier_detection()
    if system.addresses is not None:
        found["outlier_detection"] = _outlier_detection()
        endpoints.spread(found, system, is_baseline=_is_baseline(name))
    if system.is_tls:
        found["transport_socket"] = tls.upstream(str(name), system, files)
    return found


def _before_hop(plan: Plan, name: System, files: GatewayFiles) -> Json:
    """Return the cluster of a system that is reached through a second hop."""
    system = plan.system(name)
    found: Json = {
        "@type": _TYPE + "config.cluster.v3.Cluster",
        "name": str(name),
        "connect_timeout": time_limits.CONNECT,
        "type": "STATIC",
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        # The candidate's own limit is behind its hop, where the baseline can be asked instead.
        "circuit_breakers": _limits(name, system.concurrency if _is_baseline(name) else None),
        # Shorter than the hop keeps them, as with every system.
        "typed_extension_protocol_options": protocol.towards_system(
            system.protocol, idle_timeout=time_limits.HOP_IDLE),
        "load_assignment": {
            "cluster_name": str(name),
            "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": hop.address(files, name)},
                 "metadata": {"filter_metadata": {"changeover": {"system": str(name)}}}},
            ]}],
        },
    }
    if not _is_baseline(name):
        found["outlier_detection"] = _outlier_detection()
    return found


def _is_baseline(name: System) -> bool:
    return name is System.BASELINE


def _limits(name: System, concurrency: int | None) -> Json:
    # When the baseline itself is too slow, not everyone may ask it twice.
    return _circuit_breakers(concurrency, *((20, 10) if _is_baseline(name) else ()))


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
