"""Which proxies are believed about the user's address, scheme and host. Pure.

Envoy overwrites `X-Forwarded-Proto` unless a trusted hop is in front. How many there are is the
plan's `routing.trusted_hops`. Where it does not say, the peer's address decides: a stranger from
the internet never has a private one, and a balancer on the same machine or network has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from changeover.plan.model import Plan
from changeover.plan.rules import listens_on_loopback

Json = dict[str, Any]

PRIVATE = (
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
    "100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10",
)


def filter_chains(plan: Plan, manager: Callable[[int], Json]) -> list[Json]:
    """Return the listener's filter chains: one, or one for private peers and one for others.

    Args:
        plan: The migration's plan.
        manager: Makes the connection manager for a number of trusted hops.
    """
    hops = plan.routing.trusted_hops
    # Only processes of this machine reach a gateway on loopback: a balancer, not users.
    # A balancer that speaks the PROXY protocol knows no headers: what they say, users said.
    if hops is None and plan.routing.proxy_protocol:
        hops = 0
    if hops is None and listens_on_loopback(plan):
        hops = 1
    if hops is not None:
        return [{"filters": [manager(hops)]}]
    ranges = []
    for entry in PRIVATE:
        address, length = entry.split("/")
        ranges.append({"address_prefix": address, "prefix_len": int(length)})
    return [
        {"name": "private", "filter_chain_match": {"direct_source_prefix_ranges": ranges},
         "filters": [manager(1)]},
        {"name": "others", "filters": [manager(0)]},
    ]


def proxy_protocol(plan: Plan) -> Json:
    """Return what a listener has behind balancers that say in the PROXY protocol who the user is.

    Our own requests through the gateway come without it, so it is not demanded.
    """
    if not plan.routing.proxy_protocol:
        return {}
    return {"listener_filters": [{
        "name": "envoy.filters.listener.proxy_protocol",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3."
            "ProxyProtocol",
            "allow_requests_without_proxy_protocol": True,
        },
    }]}


def settings(hops: int) -> Json:
    """Return the connection manager's settings for a number of trusted hops."""
    return {"use_remote_address": True, "xff_num_trusted_hops": hops}


def disbelieved(hops: int) -> list[Json]:
    """Return what is removed from requests at the edge: everything, without a trusted hop."""
    if hops:
        return []
    names: list[Json] = [
        {"prefix": "x-forwarded-", "ignore_case": True},
        {"exact": "forwarded", "ignore_case": True},
        {"exact": "x-real-ip", "ignore_case": True},
    ]
    return [{"remove_on_match": {"key_matcher": name}} for name in names]
