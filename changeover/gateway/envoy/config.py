"""Plan and routing state as Envoy's configuration. Pure: dictionaries in, dictionaries out.

The failover is the priority-group cluster specifier over an aggregate cluster: the first attempt
goes where the user's bucket says, the second one to the baseline. Every route's name says what was
decided (`split:2500:safe`), and the cluster that Envoy chose says how a split fell (`choice`), so
that an access-log line alone shows which system was meant.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from changeover.domain.routing import RoutingState
from changeover.gateway.envoy import (
    forwarded,
    hop,
    limits,
    protocol,
    segment_script,
    tap,
    time_limits,
    tls,
    user_key,
)
from changeover.gateway.envoy.listener import ROUTES, connection_manager, watched
from changeover.gateway.envoy.parts import virtual_host
from changeover.gateway.envoy.routes import LONGEST_REASON
from changeover.gateway.files import GatewayFiles
from changeover.plan.model import Plan
from changeover.plan.units import parse_address

Json = dict[str, Any]

# Envoy writes its log every 10 s by itself: the observer would learn of errors too late.
FLUSH_MILLISECONDS = 100
STARTED_WITH = "started_with"
"""What Envoy says of itself (`node.metadata`): the digest of the bootstrap that it has."""
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
    return _with_digest({
        "node": {"id": f"changeover-{plan.migration}", "cluster": "changeover"},
        "admin": {"address": {"pipe": {"path": str(files.admin_socket), "mode": 0o600}}},
        "stats_flush_interval": "1s",
        # Envoy's own limit is 100, which a segment of ten values exceeds.
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {
            "re2.max_program_size.error_level": 1_000_000, **protocol.RUNTIME,
            **tap.RUNTIME}}]},
        "dynamic_resources": {"cds_config": watched(files.clusters),
                              "lds_config": watched(files.listeners)},
        "static_resources": {
            "listeners": [{
                "name": "users",
                "address": {"socket_address": {"address": host, "port_value": port}},
                # Linux would share the port with the Envoy of another migration that starts in the
                # same moment, and the users with it
                "enable_reuse_port": False,
                **forwarded.proxy_protocol(plan),
                "socket_options": time_limits.sockets(plan),
                "filter_chains": [
                    {**chain, **tls.downstream(plan, files)} for chain in forwarded.filter_chains(
                        plan, lambda hops: connection_manager(plan, files, hops))],
            }],
            "clusters": [tap.cluster(files)] if plan.shadow else [],
        },
    })


def started_with(bootstrap: Json) -> str:
    """Return what an Envoy that was started with a bootstrap says of itself."""
    return str(bootstrap["node"]["metadata"][STARTED_WITH])


def _with_digest(bootstrap: Json) -> Json:
    digest = hashlib.sha256(json.dumps(bootstrap, sort_keys=True).encode()).hexdigest()
    return {**bootstrap, "node": {**bootstrap["node"], "metadata": {STARTED_WITH: digest}}}


def render_whole(plan: Plan, files: GatewayFiles) -> Json:
    """Return the bootstrap with the systems' second hops in it, for a check of everything.

    Envoy serves these from the file that it watches, so that a plan may change who has one.
    """
    found = render_bootstrap(plan, files)
    static = found["static_resources"]
    listeners = [*static["listeners"], *hop.listeners(plan, files)]
    return {**found, "static_resources": {**static, "listeners": listeners}}


def render_routes(plan: Plan, state: RoutingState) -> Json:
    """Return the routes of a routing state, as a discovery response with its version."""
    found = {
        "@type": _TYPE + "config.route.v3.RouteConfiguration",
        "name": ROUTES,
        # Without it Envoy accepts a route to an unknown cluster and answers its users 503.
        "validate_clusters": True,
        # Envoy's own limit is 4 kB; as JSON one character may take twelve bytes.
        "max_direct_response_body_size_bytes": 16 * LONGEST_REASON,
        "request_headers_to_remove": [*protocol.ENVOYS_OWN, *user_key.removed(plan),
                                      *segment_script.headers(plan)],
        **hop.removed(),
        "virtual_hosts": [limits.limited(plan, virtual_host(plan, state))],
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
