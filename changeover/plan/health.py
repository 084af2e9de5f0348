"""The parts of a plan about health: what is looked at every minute, how it is repaired. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from changeover.plan.fields import (
    Address,
    Duration,
    HttpUrl,
    Name,
    Part,
    Path,
    Pattern,
    Percent,
    Share,
    Size,
)
from changeover.plan.suites import DatabaseRef, Host, Side

Issue = Literal[
    "memory_pressure", "disk_full", "node_failure", "database_lock", "service_down", "worker_gone",
    "gateway_drift", "observer_gone", "shadow_gone", "console_gone", "certificate_expiry",
    "limit_drift",
]
Limit = Annotated[int, Field(ge=0, le=1_000_000)]


class LevelSpec(Part):
    """From which value on something is a warning, and from which critical."""

    warning: Percent = Field(default=85)  # type: ignore[assignment]
    critical: Percent = Field(default=95)  # type: ignore[assignment]

    @model_validator(mode="after")
    def _grows(self) -> LevelSpec:
        if self.warning >= self.critical:
            raise ValueError(f"warning {self.warning} must be below critical {self.critical}")
        return self


class NodeSpec(Part):
    """A working part of a system that tells its figures as JSON."""

    of: Host = "candidate"
    path: Path
    latency: Pattern | None = Field(None, description="Where its mean latency in ms stands.")
    success_rate: Pattern | None = Field(None, description="Where its success rate (0..1) stands.")
    queue: Pattern | None = Field(None, description="Where the length of its queue stands.")
    slow: Duration = Field(timedelta(seconds=5), description="Longest mean latency.")
    least_success: Share = 0.95
    longest_queue: int = Field(1000, ge=0)


class ServiceSpec(Part):
    """A service that both or one of the systems need; those of a pair are judged together."""

    url: HttpUrl
    path: Path = "/health"
    pair: Name | None = Field(None, description="Services of one pair are well together.")
    slow: Duration = Field(timedelta(seconds=2), description="Slower is a warning.")
    timeout: Duration = Field(timedelta(seconds=3), description="Longest wait for an answer.")


class DatabaseHealthSpec(Part):
    """A database that is looked at."""

    database: DatabaseRef
    revision: str | None = Field(None, description="Alembic revision that it must be at.")
    lock_wait: Duration = Field(timedelta(seconds=5), description="Longest wait for a lock.")
    largest: Size | None = Field(None, description="Larger is a warning.")


class CertificateSpec(Part):
    """A TLS address whose certificate is looked at."""

    address: Address
    ca_file: str | None = None
    warning: Duration = Field(timedelta(days=30), description="Less is a warning.")
    critical: Duration = Field(timedelta(days=7), description="Less is critical.")


class MemoryLimitSpec(Part):
    """The red line of a system's processes, or of the one whose id stands in a file."""

    of: Side = "candidate"
    pid_file: str | None = Field(
        None, description="File with a process id, relative to the plan; default: the system's."
    )
    limit: Size = Field(description="Above it is critical; above nine tenths a warning.")


class RepairSpec(Part):
    """What is done about an issue, how often, and how it is seen to have worked."""

    levers: list[Name] = Field(default=[], description="Pulled in order.")
    attempts: int = Field(3, ge=1, le=20, description="In an hour; then people are called.")
    backoff: Duration = Field(
        timedelta(minutes=1), description="Wait after the first attempt; doubles with each."
    )
    within: Duration = Field(
        timedelta(seconds=30), description="Longest time until the check is good again."
    )


class GuardSpec(Part):
    """The guard of a system's responsiveness, probed every second."""

    of: Side = "candidate"
    path: Path = "/health"
    slow: Duration = Field(timedelta(milliseconds=200), description="Slower: back-pressure.")
    frozen: Duration = Field(timedelta(milliseconds=300), description="No answer: emergency.")
    bad_probes: int = Field(2, ge=1, le=60, description="In a row before anything is done.")
    good_for: Duration = Field(timedelta(seconds=5), description="Good probes until normal.")
    on_slow: list[Name] = Field(default=[], description="Levers of back-pressure.")
    on_frozen: list[Name] = Field(default=[], description="Emergency levers.")
    on_normal: list[Name] = Field(default=[], description="Levers that undo both.")

    @model_validator(mode="after")
    def _grows(self) -> GuardSpec:
        if self.slow >= self.frozen:
            raise ValueError("`slow` must be shorter than `frozen`")
        return self


class HealthSpec(Part):
    """What the health check looks at besides what every migration stands on."""

    memory: LevelSpec = Field(default_factory=LevelSpec)
    disk: LevelSpec = Field(default_factory=LevelSpec)
    folders: dict[Name, str] = Field(default={}, description="Must be writable.")
    nodes: dict[Name, NodeSpec] = {}
    services: dict[Name, ServiceSpec] = {}
    databases: dict[Name, DatabaseHealthSpec] = {}
    certificates: dict[Name, CertificateSpec] = {}
    memory_limits: dict[Name, MemoryLimitSpec] = {}
    late_runs: Duration = Field(
        timedelta(minutes=2), description="A flow run that is later than this is a warning."
    )
    repairs: dict[Issue, RepairSpec] = {}
    guard: GuardSpec | None = None
    limits: dict[Name, Limit] = Field(
        default={}, description="Prefect's global concurrency limits that are kept."
    )
