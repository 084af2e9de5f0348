"""Reading from Envoy's admin socket: the served version, refusals, statistics."""

from __future__ import annotations

import json
import socket
from collections import Counter
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from changeover.errors import Unreachable
from changeover.gateway.envoy.config import STARTED_WITH, parse_version
from changeover.gateway.envoy.listener import ROUTES
from changeover.gateway.envoy.streams import CALLS, HOPS
from changeover.gateway.envoy.withheld import is_withheld

_PREFIX = f"http.users.rds.{ROUTES}."


@dataclass(frozen=True, slots=True)
class Served:
    """What Envoy says of its routes.

    Args:
        version: (epoch, version) that it serves, or None before the first routes.
        refusals: How many updates it refused so far, whatever the reason.
    """

    version: tuple[int, int] | None
    refusals: int


class _Connection(HTTPConnection):
    """HTTP over a Unix socket. The standard library's: `changeover status` starts at once."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("envoy", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Admin:
    """Envoy's admin interface on its Unix socket. Every call may raise Unreachable."""

    def __init__(self, path: Path, *, timeout: float = 1.0) -> None:
        self._socket, self._timeout = path, timeout

    def is_alive(self) -> bool:
        """Whether Envoy answers and serves."""
        try:
            return self._get("/ready").strip() == b"LIVE"
        except Unreachable:
            return False

    def started_with(self) -> str:
        """Return what tells the bootstrap that Envoy has; empty for one of an earlier version."""
        node = json.loads(self._get("/server_info")).get("node") or {}
        return str((node.get("metadata") or {}).get(STARTED_WITH, ""))

    def served(self) -> Served:
        """Return the routes' version and refusals.

        The version is the statistics' text, not the configuration dump's: that one stays when a
        new version has the very same routes.
        """
        wanted = "(version_text|update_rejected|update_failure)"
        # Envoy takes a regular expression: a bare dot would match more statistics.
        found = self._stats(f"^{_PREFIX.replace('.', '[.]')}{wanted}$")
        text = str(found.get(f"{_PREFIX}version_text", ""))
        refusals = sum(value for value in found.values() if isinstance(value, int))
        return Served(parse_version(text) if text else None, refusals)

    def is_withheld(self) -> bool:
        """Whether Envoy serves routes that leave the candidate out."""
        configs = self._route_configs()
        return bool(configs) and is_withheld(configs[0].get("route_config", {}))

    def refusal(self) -> str:
        """Return why Envoy refused the newest routes; empty when it did not."""
        for config in self._route_configs():
            error: dict[str, Any] = config.get("error_state") or {}
            return str(error.get("details", ""))
        return ""

    def counters(self, pattern: str) -> dict[str, int]:
        """Return counters and gauges whose name matches a regular expression."""
        found = self._stats(pattern)
        return {name: value for name, value in found.items() if isinstance(value, int)}

    def healthy_hosts(self) -> dict[str, int]:
        """Return how many hosts of each system Envoy sends requests to."""
        found = self.counters("^cluster[.](baseline|candidate)[.]membership_healthy$")
        return {name.split(".")[1]: count for name, count in found.items()}

    def long_connections(self) -> dict[str, int]:
        """Return how many long connections the candidate has now, by their group."""
        total: Counter[str] = Counter()
        found = self.counters(f"^cluster[.]({HOPS}|{CALLS})[^.]*[.]upstream_rq_active$")
        for name, count in found.items():
            total[name.split(".")[1].removeprefix(HOPS).removeprefix(CALLS)] += count
        return dict(total)

    def reopen_logs(self) -> None:
        """Have Envoy open its access log anew, after it was moved away."""
        self._request("POST", "/reopen_logs")

    def serve_no_more(self) -> None:
        """Have Envoy serve on, but ask each connection to be closed after its answer."""
        self._request("POST", "/healthcheck/fail")

    def serve_again(self) -> None:
        """Have Envoy keep connections open again."""
        self._request("POST", "/healthcheck/ok")

    def active_requests(self) -> int:
        """Return how many requests of users are under way."""
        return sum(self.counters("^http[.]users[.]downstream_rq_active$").values())

    def _route_configs(self) -> list[dict[str, Any]]:
        answer = json.loads(self._get("/config_dump", resource="dynamic_route_configs"))
        configs: list[dict[str, Any]] = answer.get("configs", [])
        return configs

    def _stats(self, pattern: str) -> dict[str, int | str]:
        answer = json.loads(self._get("/stats", filter=pattern, format="json"))
        found: dict[str, int | str] = {}
        for entry in answer["stats"]:
            # Histograms come in the same list, without a value.
            value = entry.get("value")
            if isinstance(value, int | str):
                found[entry["name"]] = value
        return found

    def _get(self, path: str, **query: str) -> bytes:
        return self._request("GET", f"{path}?{urlencode(query)}" if query else path)

    def _request(self, method: str, target: str) -> bytes:
        connection = _Connection(self._socket, self._timeout)
        try:
            connection.request(method, target)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            raise self._unreachable(type(error).__name__) from error
        finally:
            connection.close()
        if answer.status != 200:
            raise self._unreachable(f"status {answer.status}")
        return body

    def _unreachable(self, why: str) -> Unreachable:
        return Unreachable(
            f"the gateway does not answer ({why})", where=str(self._socket),
            next_step="Check whether envoy runs: `changeover status`, and logs/envoy.log",
        )
