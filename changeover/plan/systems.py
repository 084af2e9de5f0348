"""The two systems: where they are, how they are reached, and how patient one is with them. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from changeover.plan.endpoint import (
    GRPC_HEALTH,
    KEEP,
    Addresses,
    HostOrKeep,
    HttpVersion,
    Place,
    SystemUrl,
    TlsSpec,
    base_path,
    socket_path,
)
from changeover.plan.fields import Duration, Part, Path


class ProcessSpec(Part):
    """How to start a system's process, or how to find one that runs already.

    With `command`, `changeover up` starts it. With `pid_file`, it watches one started elsewhere.
    """

    command: list[str] | None = Field(None, min_length=1, description="Program and arguments.")
    env: dict[str, str] = Field(default={}, description="Additional environment variables.")
    directory: str | None = Field(None, description="Working directory, relative to the plan.")
    restart: bool = Field(False, description="Restart it when it ends.")
    pid_file: str | None = Field(None, description="File with the id of a process to watch.")

    @model_validator(mode="after")
    def _one_way(self) -> ProcessSpec:
        if (self.command is None) == (self.pid_file is None):
            raise ValueError("exactly one of `command` and `pid_file` is required")
        return self


class SystemSpec(Part):
    """One of the two systems."""

    name: str = Field(min_length=1, max_length=100, description="Name that people use.")
    url: SystemUrl = Field(
        description="Its address: scheme, host and port, perhaps with a path that stands before "
        "each request's; or unix:///path/of/a/socket, perhaps with :/path behind it.")
    host: HostOrKeep = Field(
        KEEP, description="The host that its requests name: `keep`, the one that users sent, or a "
        "name of its own.")
    health: Path = Field(
        "/health",
        description="Path that answers 2xx while the system is healthy, below the url's."
    )
    health_timeout: Duration = Field(
        timedelta(seconds=1),
        description="Longest wait for the health answer."
    )
    concurrency: int | None = Field(
        None, ge=1, description="Most requests at once (circuit breaker); default: no limit."
    )
    timeout: Duration = Field(
        timedelta(seconds=15),
        description="Longest wait until an answer begins, per attempt; 0: no limit.",
    )
    attempt_timeout: Duration = Field(
        timedelta(seconds=5),
        description="Longest wait until the answer to a safe request begins, before the baseline "
        "is asked.",
    )
    silence: Duration = Field(
        timedelta(minutes=5),
        description="Longest time without any data within a request and its answer; 0: no "
        "limit.",
    )
    keep_alive: Duration = Field(
        timedelta(seconds=4),
        description="How long an idle connection to it stays open; must be shorter than the "
        "system's own keep-alive. 0: no limit.",
    )
    process: ProcessSpec | None = Field(None, description="Its process, for memory and CPU.")
    protocol: HttpVersion = Field(
        "http1", description="What the gateway speaks with it: `http1`, or `http2` (gRPC needs it; "
        "without TLS the system must take HTTP/2 from the first byte).")
    tls: TlsSpec | None = Field(
        None, description="For https: authorities, a client's certificate, the certificate's name.")

    addresses: Addresses | None = Field(
        None, description="Where it listens, when that is not the url's host: the url then says "
        "how it is spoken to. Each is asked for its health every second.")
    dns: Literal["strict", "logical"] = Field(
        "strict", description="For a name in `addresses`: every address that it stands for, or "
        "(`logical`) the first one for each new connection.")

    @model_validator(mode="after")
    def _addresses_are_possible(self) -> SystemSpec:
        if self.addresses is not None and self.socket_path:
            raise ValueError("`addresses` needs a `url` that begins with http:// or https://; "
                             "a Unix socket is one address")
        if self.dns == "logical" and len(self.addresses or ()) != 1:
            raise ValueError("`dns: logical` needs exactly one name in `addresses`")
        return self

    @model_validator(mode="after")
    def _grpc_has_no_base_path(self) -> SystemSpec:
        if self.base_path and self.health.endswith(GRPC_HEALTH):
            raise ValueError(f"`health: {GRPC_HEALTH}` needs a `url` without a path: calls of gRPC "
                             f"have none before them; remove {self.base_path}")
        return self

    @model_validator(mode="after")
    def _tls_is_used(self) -> SystemSpec:
        if self.tls is not None and not self.is_tls:
            raise ValueError("`tls` needs a `url` that begins with https://")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether its address says everything about how it is reached."""
        is_elsewhere = self.addresses is not None or bool(self.socket_path)
        has_own_ways = is_elsewhere or self.own_host is not None
        return self.protocol == "http1" and self.tls is None and not has_own_ways

    @property
    def base_path(self) -> str:
        """What stands before each path that it is asked for, without a slash at its end."""
        return base_path(self.url)

    @property
    def own_host(self) -> str | None:
        """The host that its requests name instead of the users'; None: they keep theirs."""
        return None if self.host == KEEP else self.host

    @property
    def socket_path(self) -> str:
        """The path of the Unix socket on which it listens; empty for all others."""
        return socket_path(self.url)

    @property
    def places(self) -> tuple[Place, ...]:
        """Where it listens."""
        if self.addresses is not None:
            return tuple(each.place for each in self.addresses)
        if self.socket_path:
            return (Place(socket=self.socket_path),)
        parts = urlsplit(self.url)
        return (Place(parts.hostname or "", parts.port or (443 if self.is_tls else 80)),)

    @property
    def origin(self) -> str:
        """What stands before a path in a request's address, without a slash at its end: scheme,
        host, port, and the url's path.
        """
        if self.socket_path:
            return "http://localhost" + self.base_path
        return self.url.rstrip("/")

    @property
    def authority(self) -> str:
        """The host that a request names which has none of its own, or may not keep it."""
        return self.own_host or urlsplit(self.origin).netloc.rpartition("@")[2]

    @property
    def is_tls(self) -> bool:
        """Whether it is reached over TLS."""
        return self.url.startswith("https://")

    @property
    def server_name(self) -> str:
        """The name that its certificate must have: a host's name, or an IP address."""
        own = self.tls.server_name if self.tls is not None else None
        return own or urlsplit(self.origin).hostname or ""


class Systems(Part):
    """The two systems."""

    baseline: SystemSpec
    candidate: SystemSpec
