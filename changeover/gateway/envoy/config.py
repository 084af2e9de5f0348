"""Plan and routing state as Envoy's configuration. Pure: dictionaries in, dictionaries out.

The failover is the priority-group cluster specifier over an aggregate cluster: the first attempt
goes where the user's bucket says, the second one to the baseline. Every route's name says what was
decided (`split:2500:safe`), and the cluster that Envoy chose says how a split fell (`choice`), so
that an access-log line alone shows which system was meant.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from changeover.domain.routing import RoutingState
from changeover.gateway.envoy import choice, concurrency, forwarded, protocol, tap, time_limits
from changeover.gateway.envoy.listener import ROUTES, connection_manager, watched
from changeover.gateway.envoy.routes import LONGEST_REASON, routes
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan, SystemSpec
from changeover.plan.units import parse_address

Json = dict[str, Any]

# Envoy writes its log every 10 s by itself: the observer would learn of errors too late.
FLUSH_MILLISECONDS = 100
_TYPE = "type.googleapis.com/envoy."


def version_of(state: RoutingState) -> str:
    """Return the version that Envoy reports for a state's routes: `epoch.version`."""
    return f"{state.epoch}.{state.version}"


def parse_version(text: str) -> tuple[int, int]:
    """Return (epoch, version) from what Envoy reports.

    Raises:
        ValueError: Not such a version.
    """
    epoch, version = text.split(".")
    return int(epoch), int(version)


def render_bootstrap(plan: Plan, files: GatewayFiles) -> Json:
    """Return Envoy's bootstrap: one listener, routes and clusters from watched files."""
    host, port = parse_address(plan.routing.listen)
    return {
        "node": {"id": f"changeover-{plan.migration}", "cluster": "changeover"},
        "admin": {"address": {"pipe": {"path": str(files.admin_socket), "mode": 0o600}}},
        "stats_flush_interval": "1s",
        # Envoy's own limit is 100, which a segment of ten values exceeds.
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {
            "re2.max_program_size.error_level": 1_000_000, **protocol.RUNTIME}}]},
        "dynamic_resources": {"cds_config": watched(files.clusters)},
        "static_resources": {
            "listeners": [{
                "name": "users",
                "address": {"socket_address": {"address": host, "port_value": port}},
                "socket_options": time_limits.sockets(plan),
                "filter_chains": forwarded.filter_chains(
                    plan, lambda hops: connection_manager(plan, files, hops)),
            }, *([concurrency.listener(files)] if concurrency.is_limited(plan) else [])],
            "clusters": [tap.cluster(files)] if plan.shadow else [],
        },
    }


def render_clusters(plan: Plan, files: GatewayFiles) -> Json:
    """Return the clusters: both systems, and those whose names say who was meant."""
    candidate = plan.systems.candidate
    behind = [_cluster("candidate", candidate)]
    if concurrency.is_limited(plan):
        behind = [_hop(files), _cluster(concurrency.LIMITED, candidate)]
    return {
        "version_info": "1",
        "resources": [
            _cluster("baseline", plan.systems.baseline),
            *behind,
            *(_aggregate(name, clusters) for name, clusters in choice.BEHIND.items()),
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


def render_routes(plan: Plan, state: RoutingState) -> Json:
    """Return the routes of a routing state, as a discovery response with its version."""
    found = {
        "@type": _TYPE + "config.route.v3.RouteConfiguration",
        "name": ROUTES,
        # Without it Envoy accepts a route to an unknown cluster and answers its users 503.
        "validate_clusters": True,
        # Envoy's own limit is 4 kB; as JSON one character may take twelve bytes.
        "max_direct_response_body_size_bytes": 16 * LONGEST_REASON,
        "request_headers_to_remove": list(protocol.ENVOYS_OWN),
        "virtual_hosts": [{"name": "users", "domains": ["*"], "routes": routes(plan, state)}],
    }
    return with_version({"resources": [found]}, version_of(state))


def with_version(routes: Json, version: str) -> Json:
    """Return rendered routes as another version.

    The version is in the routes themselves too: Envoy skips an update whose routes are those it
    has (shadow after baseline_only), and would go on reporting the old version.
    """
    stamp = {"filter_metadata": {"changeover": {"version": version}}}
    resources = [{**resource, "metadata": stamp} for resource in routes["resources"]]
    return {"version_info": version, "resources": resources}


def _cluster(name: str, system: SystemSpec) -> Json:
    url = urlsplit(system.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    address = {"socket_address": {"address": url.hostname, "port_value": port}}
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
            idle_timeout=time_limits.seconds(system.keep_alive)),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [
                # The access log names the system by this: addresses change, and may be shared.
                {"endpoint": {"address": address},
                 "metadata": {"filter_metadata": {"changeover": {"system": name}}}},
            ]}],
        },
    }
    if name == "candidate":
        cluster["outlier_detection"] = _outlier_detection()
    if url.scheme == "https":
        cluster["transport_socket"] = _tls(url.hostname or "")
    return cluster


def _hop(files: GatewayFiles) -> Json:
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
            idle_timeout=time_limits.HOP_IDLE),
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


def _tls(hostname: str) -> Json:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": _TYPE + "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": hostname,
            # Without it Envoy accepts any certificate.
            "common_tls_context": {
                "validation_context": {
                    "trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"},
                    "match_typed_subject_alt_names": [{"san_type": "DNS",
                                                       "matcher": {"exact": hostname}}],
                }
            },
        },
    }
