"""The systems by the addresses that the access log names. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

from changeover.domain.routing import System
from changeover.plan.model import Plan


def hosts_of(plan: Plan) -> dict[str, System]:
    """Return the systems by HOST:PORT."""
    hosts = {}
    for name in System:
        url = urlsplit(plan.system(name).url)
        port = url.port or (443 if url.scheme == "https" else 80)
        hosts[f"{url.hostname}:{port}"] = name
    return hosts
