"""How load reaches a host: aiohttp's part of what `changeover.gateway.reaching` is for httpx."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class Way:
    """Where load goes, and how.

    Args:
        url: What stands before each path.
        tls: How its certificate is verified; None: by the machine's authorities.
        server_name: Name that its certificate must have; None: the address's.
        socket_path: Path of a Unix socket; empty: the address's host is asked.
        host: The host that requests name; None: the address's.
    """

    url: str
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    socket_path: str = ""
    host: str | None = None

    def session(self, longest: float) -> aiohttp.ClientSession:
        """Return a client for load: without a limit of connections, and without a proxy.

        Args:
            longest: Seconds after which a request has failed.
        """
        # A limit of connections would make requests wait for earlier ones.
        connector: aiohttp.BaseConnector = aiohttp.TCPConnector(limit=0, ssl=self.tls or True)
        if self.socket_path:
            connector = aiohttp.UnixConnector(self.socket_path, limit=0)
        timeout = aiohttp.ClientTimeout(total=longest)
        return aiohttp.ClientSession(
            timeout=timeout, connector=connector, trust_env=False,
            headers={} if self.host is None else {"host": self.host})

    @property
    def options(self) -> dict[str, Any]:
        """What every request of the session is sent with."""
        return {"server_hostname": self.server_name} if self.server_name else {}
