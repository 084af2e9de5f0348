"""Routes of synthetic load, which are in no metric. Pure.

The load that Changeover itself makes has a mark: a header with a random text that only this
machine's owner can read. For each route there is a copy that such requests take. Its name ends in
`:synthetic`, by which readers of the access log leave them out, and nothing of it is tapped. So a
user who sends the header without knowing the text is counted as everybody else.
"""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy import parts
from changeover.gateway.envoy.matching import string

Json = dict[str, Any]

MARK_HEADER = "x-changeover-mark"
"""Sent by the load only; removed before a system sees it."""
TOLD_HEADER, TOLD = "x-changeover-synthetic", "load"
"""What a system is told instead, so that it can leave the request out of its own figures."""
SYNTHETIC = ":synthetic"
"""How the names of these routes end."""
_TAPPED = "typed_per_filter_config"


def marked(response: Json, mark: str) -> Json:
    """Return routes with copies for requests that have the mark.

    Args:
        response: As `render_routes` makes it.
        mark: The text of the mark.
    """
    return {**response, "resources": [_of(each, mark) for each in response["resources"]]}


def _of(resource: Json, mark: str) -> Json:
    def with_copies(routes: list[Json]) -> list[Json]:
        return [*(_copy(route, mark) for route in routes if _is_copied(route)), *routes]

    hosts = [parts.changed(host, with_copies) for host in resource["virtual_hosts"]]
    removed = [*resource.get("request_headers_to_remove", ()), MARK_HEADER]
    return {**resource, "virtual_hosts": hosts, "request_headers_to_remove": removed}


def _is_copied(route: Json) -> bool:
    # a tapped route is a twin for comparison; maintenance answers everybody
    return "route" in route and _TAPPED not in route


def _copy(route: Json, mark: str) -> Json:
    match = route["match"]
    headers = [string(MARK_HEADER, {"exact": mark}), *match.get("headers", ())]
    told = {"header": {"key": TOLD_HEADER, "value": TOLD},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {**route, "name": route["name"] + SYNTHETIC, "match": {**match, "headers": headers},
            "request_headers_to_add": [told]}
