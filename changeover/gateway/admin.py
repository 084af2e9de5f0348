"""Reading from Envoy's admin socket: the served version, refusals, statistics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from changeover.errors import Unreachable
from changeover.gateway.envoy.config import parse_version
from changeover.gateway.envoy.listener import ROUTES
from changeover.gateway.envoy.withheld import is_withheld
from changeover.machine.http import tls

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


class Admin:
    """Envoy's admin interface on its Unix socket. Every call may raise Unreachable."""

    def __init__(self, socket: Path, *, timeout: float = 1.0) -> None:
        self._socket = socket
        self._client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket), verify=tls()), base_url="http://envoy",
            timeout=timeout,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def is_alive(self) -> bool:
        """Whether Envoy answers and serves."""
        try:
            return self._get("/ready").text.strip() == "LIVE"
        except Unreachable:
            return False

    def served(self) -> Served:
        """Return the routes' version and refusals.

        The version is the statistics' text, not the configuration dump's: that one stays when a
        new version holds the very same routes.
        """
        wanted = "(version_text|update_rejected|update_failure)"
        found = self._stats(f"^{_PREFIX.replace('.', '[.]')}{wanted}$")
        text = str(found.get(f"{_PREFIX}version_text", ""))
        refusals = sum(value for value in found.values() if isinstance(value, int))
        return Served(parse_version(text) if text else None, refusals)

    def is_withheld(self) -> bool:
        """Whether Envoy serves routes that leave the candidate out."""
        answer = self._get("/config_dump", params={"resource": "dynamic_route_configs"}).json()
        found = [config.get("route_config", {}) for config in answer.get("configs", [])]
        return bool(found) and is_withheld(found[0])

    def refusal(self) -> str:
        """Return why Envoy refused the newest routes; empty when it did not."""
        answer = self._get("/config_dump", params={"resource": "dynamic_route_configs"}).json()
        for config in answer.get("configs", []):
            error: dict[str, Any] = config.get("error_state") or {}
            return str(error.get("details", ""))
        return ""

    def counters(self, pattern: str) -> dict[str, int]:
        """Return counters and gauges whose name matches a regular expression."""
        return {k: v for k, v in self._stats(pattern).items() if isinstance(v, int)}

    def healthy_hosts(self) -> dict[str, int]:
        """Return how many hosts of each system Envoy sends requests to."""
        found = self.counters("^cluster[.](baseline|candidate)[.]membership_healthy$")
        return {name.split(".")[1]: count for name, count in found.items()}

    def reopen_logs(self) -> None:
        """Have Envoy open its access log anew, after it was moved away."""
        self._request("POST", "/reopen_logs")

    def _stats(self, pattern: str) -> dict[str, int | str]:
        answer = self._get("/stats", params={"filter": pattern, "format": "json"}).json()
        return {
            entry["name"]: entry["value"] for entry in answer["stats"]
            if isinstance(entry.get("value"), int | str)
        }

    def _get(self, path: str, params: dict[str, str] | None = None) -> httpx.Response:
        return self._request("GET", path, params)

    def _request(
        self, method: str, path: str, params: dict[str, str] | None = None
    ) -> httpx.Response:
        try:
            return self._client.request(method, path, params=params).raise_for_status()
        except httpx.HTTPError as error:
            raise Unreachable(
                f"the gateway does not answer ({type(error).__name__})", where=str(self._socket),
                next_step="Look whether envoy runs: `changeover status`, and logs/envoy.log",
            ) from error
