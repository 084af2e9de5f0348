"""Routes under back-pressure: the candidate gets nothing, users get the baseline's answer. Pure.

The routing state stays what was decided. The routes keep its version and their names, so that a
request is still known to be meant for the candidate and counts against it (`saved`). A split draws
as before, with the baseline in the candidate's place. The tap is off, because copies are the least
urgent work of all. A mark beside the version shows which routes Envoy serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from changeover.gateway.envoy import choice, parts, tap, time_limits

Json = dict[str, Any]

MARK = "withheld"
_SPECIFIER = "inline_cluster_specifier_plugin"


def withheld(response: Json, beginnings: Mapping[str | None, str]) -> Json:
    """Return rendered routes (a discovery response) with the candidate left out.

    Args:
        response: As `render_routes` makes it.
        beginnings: How long the baseline's answer may take to begin, by part of the traffic: the
            limit of one attempt on these routes is the candidate's.
    """
    return {**response, "resources": [
        _resource(found, beginnings) for found in response["resources"]]}


def is_withheld(resource: Json) -> bool:
    """Whether a route configuration, rendered or dumped by Envoy, leaves the candidate out."""
    stamp = resource.get("metadata", {}).get("filter_metadata", {}).get("changeover", {})
    return bool(stamp.get(MARK, False))


def _resource(resource: Json, beginnings: Mapping[str | None, str]) -> Json:
    metadata = resource.get("metadata", {}).get("filter_metadata", {})
    # The version stays, so this mark alone shows whether Envoy serves these routes.
    stamp = {**metadata.get("changeover", {}), MARK: True}
    metadata = {**metadata, "changeover": stamp}

    def without(routes: list[Json]) -> list[Json]:
        # what the gateway answers itself leads to no system, and may have no name
        return [_route(route, beginnings[choice.part_of(route["name"])])
                if "route" in route else route
                for route in routes if not _is_tapped(route)]

    hosts = [parts.changed(host, without) for host in resource["virtual_hosts"]]
    return {
        **resource,
        "virtual_hosts": hosts,
        "metadata": {"filter_metadata": metadata},
    }


def _is_tapped(route: Json) -> bool:
    return tap.FILTER in route.get("typed_per_filter_config", {})


def _route(route: Json, beginning: str) -> Json:
    action = route["route"]
    specifier = action[_SPECIFIER]
    if not choice.names_candidate(specifier):
        return route
    # The limit of one attempt was the candidate's; an event stream has none.
    is_long_lived = action["idle_timeout"] == time_limits.LONG_LIVED
    limit = "0s" if is_long_lived else beginning
    changed = {
        **action,
        _SPECIFIER: choice.without_candidate(specifier),
        "retry_policy": {**action["retry_policy"], "per_try_timeout": limit},
    }
    return {**route, "route": changed}
