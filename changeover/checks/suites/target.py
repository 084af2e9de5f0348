"""What checks examine: two systems by their plan, and the running migration when there is one."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from changeover.gateway import reaching
from changeover.machine import trust
from changeover.plan.endpoint import Place
from changeover.plan.model import Plan
from changeover.plan.units import parse_address
from changeover.site.site import Site

if TYPE_CHECKING:
    import httpx

    from changeover.checks.suites.way import Way


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """A plan, the folder that its paths are relative to, and what runs.

    `site` is None when checks run before `changeover up`: no store and no gateway then.
    """

    plan: Plan
    folder: Path
    site: Site | None = None

    @classmethod
    def of(cls, site: Site) -> CheckTarget:
        """Return a running migration as the target of checks.

        Raises:
            EnvironmentProblem: The settings of the home cannot be read.
        """
        return cls(site.plan, site.folder, site)

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids of the systems that `changeover up` started."""
        return self.site.pids if self.site else {}

    def url(self, host: str) -> str:
        """Return the address of the baseline, the candidate or the gateway."""
        if host == "gateway":
            return reaching.gateway_address(self.plan)
        return reaching.address(self.plan.system(host))

    def client(
        self, host: str, *, timeout: float, **options: Any
    ) -> httpx.Client:
        """Return a client for the baseline, the candidate or the gateway; the caller closes it.

        Args:
            host: Who is asked; requests begin with `url(host)`.
            timeout: Longest wait for a connection and for each part of an answer, in seconds.
            options: Further settings of httpx.Client.
        """
        if host == "gateway":
            return reaching.new_gateway_client(self.plan, timeout=timeout, **options)
        return reaching.new_client(self.plan.system(host), timeout=timeout, **options)

    def way(self, host: str) -> Way:
        """Return how load reaches a host."""
        from changeover.checks.suites.way import Http1Way, Http2Way  # aiohttp: only for load

        if host == "gateway":
            return Http1Way(self.url(host), reaching.fresh_gateway_tls(self.plan))
        system = self.plan.system(host)
        return Http2Way(system) if system.protocol == "http2" else Http1Way.of(system)

    def place(self, host: str) -> Place:
        """Return where a host listens; of several addresses the first one."""
        if host == "gateway":
            return Place(*parse_address(self.plan.routing.listen))
        return self.plan.system(host).places[0]

    def server_name(self, host: str) -> str:
        """Return the name that a host's certificate must have."""
        if host == "gateway":
            return urlsplit(self.url(host)).hostname or ""
        return self.plan.system(host).server_name

    def tls_context(self, host: str, ca_file: str | None) -> ssl.SSLContext:
        """Return how a host's certificate is verified.

        Args:
            host: The baseline, the candidate or the gateway.
            ca_file: Authorities to trust instead of those of the plan's `tls`.
        """
        if ca_file is not None:
            return trust.context(ca_file)
        if host == "gateway":
            return reaching.gateway_context(self.plan) or trust.context()
        return reaching.tls_context(self.plan.system(host))

    def get(self, host: str, path: str, *, timeout: float) -> httpx.Response:
        """Ask a host once; raises httpx.HTTPError when no answer comes in time."""
        with self.client(host, timeout=timeout) as client:
            return client.get(self.url(host) + path)
