"""The parts of a plan about health: what is checked every minute, how it is repaired. Pure."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Annotated

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

ProcessName = Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,30}$")]
Limit = Annotated[int, Field(ge=0, le=1_000_000)]


class Issue(StrEnum):
    """What a health check can find that may be repaired."""

    MEMORY_PRESSURE = "memory_pressure"
    DISK_FULL = "disk_full"
    NODE_FAILURE = "node_failure"
    DATABASE_LOCK = "database_lock"
    SERVICE_DOWN = "service_down"
    WORKER_GONE = "worker_gone"
    GATEWAY_DRIFT = "gateway_drift"
    OBSERVER_GONE = "observer_gone"
    SHADOW_GONE = "shadow_gone"
    CONSOLE_GONE = "console_gone"
    CERTIFICATE_EXPIRY = "certificate_expiry"
    LIMIT_DRIFT = "limit_drift"


class LevelSpec(Part):
    """The values from which a check is a warning, and critical."""

    warning: Percent = Field(default=85)  # type: ignore[assignment]
    critical: Percent = Field(default=95)  # type: ignore[assignment]

    @model_validator(mode="after")
    def _grows(self) -> LevelSpec:
        if self.warning >= self.critical:
            raise ValueError(f"warning {self.warning} must be below critical {self.critical}")
        return self


class NodeSpec(Part):
    """A part of a system that reports its figures as JSON."""

    of: Host = "candidate"
    path: Path
    latency: Pattern | None = Field(None, description="Path of its mean latency in ms.")
    success_rate: Pattern | None = Field(None, description="Path of its success rate (0..1).")
    queue: Pattern | None = Field(None, description="Path of the length of its queue.")
    memory: Pattern | None = Field(None, description="Path of the memory that it uses, in MB.")
    last_execution: Pattern | None = Field(
        None, description="Path of the time of its last execution: Unix seconds, or ISO 8601.")
    slow: Duration = Field(timedelta(seconds=5), description="Longest mean latency.")
    least_success: Share = 0.95
    longest_queue: int = Field(1000, ge=0)
    most_memory: Size = Field(1_000_000_000, description="Most memory that it may use.")
    stuck: Duration = Field(
        timedelta(seconds=30),
        description="Longest time without an execution while something is in its queue.")


class ServiceSpec(Part):
    """A service that one or both systems need; the services of a pair are judged together."""

    url: HttpUrl
    path: Path = "/health"
    pair: Name | None = Field(None, description="Services of one pair must all be healthy.")
    slow: Duration = Field(timedelta(seconds=2), description="A slower answer is a warning.")
    timeout: Duration = Field(timedelta(seconds=3), description="Longest wait for an answer.")
    process: ProcessName | None = Field(
        None, description="Process of `changeover up` that a repair without levers starts again.")


class DatabaseHealthSpec(Part):
    """A database to check."""

    database: DatabaseRef
    revision: str | None = Field(None, description="Alembic revision that it must have.")
    lock_wait: Duration = Field(timedelta(seconds=5), description="Longest wait for a lock.")
    largest: Size | None = Field(None, description="A larger database is a warning.")


class CertificateSpec(Part):
    """A TLS address whose certificate is checked."""

    address: Address
    ca_file: str | None = None
    warning: Duration = Field(timedelta(days=30), description="Shorter validity is a warning.")
    critical: Duration = Field(timedelta(days=7), description="Shorter validity is critical.")


class MemoryLimitSpec(Part):
    """The memory limit of a system's processes, or of the process named in a file."""

    of: Side = "candidate"
    pid_file: str | None = Field(
        None, description="File with a process id, relative to the plan; default: the system's."
    )
    limit: Size = Field(description="Above it is critical; above 90 % of it a warning.")


class RepairSpec(Part):
    """How an issue is repaired, how often, and how long until it must have worked."""

    levers: list[Name] = Field(default=[], description="Pulled in order.")
    attempts: int = Field(
        3, ge=1, le=20,
        description="Attempts per hour; then people are notified."
    )
    backoff: Duration = Field(
        timedelta(minutes=1), description="Wait after the first attempt; doubles each time."
    )
    within: Duration = Field(
        timedelta(seconds=30), description="Longest time until the check is good again."
    )


class BackPressureSpec(Part):
    """Back-pressure: the system is probed every second and relieved when it is too slow."""

    of: Side = "candidate"
    path: Path = "/health"
    slow: Duration = Field(
        timedelta(milliseconds=200),
        description="A slower answer starts back-pressure."
    )
    frozen: Duration = Field(
        timedelta(milliseconds=300),
        description="No answer for this long is an emergency."
    )
    bad_probes: int = Field(
        2, ge=1, le=60,
        description="Bad probes in a row before anything is done."
    )
    good_for: Duration = Field(
        timedelta(seconds=5),
        description="How long probes must be good until normal."
    )
    withhold: bool = Field(
        True,
        description="Have the baseline answer the candidate's users meanwhile; else levers only."
    )
    on_slow: list[Name] = Field(default=[], description="Levers to pull for back-pressure.")
    on_frozen: list[Name] = Field(default=[], description="Levers to pull in an emergency.")
    on_normal: list[Name] = Field(default=[], description="Levers to pull when back to normal.")

    @model_validator(mode="after")
    def _grows(self) -> BackPressureSpec:
        if self.slow >= self.frozen:
            raise ValueError("`slow` must be shorter than `frozen`")
        return self


class ItemsSpec(Part):
    """Where the systems list their items, to be compared with the claims."""

    path: Path = Field(
        description="Path at both systems: [{item, status}], with status `working`, `done`, or "
        "another one, which is not compared.")
    grace: Duration = Field(
        timedelta(minutes=1),
        description="Items that were claimed so short a time ago are left out.")


class HealthSpec(Part):
    """What the health check checks in addition to what every migration depends on."""

    memory: LevelSpec = Field(default_factory=LevelSpec)
    disk: LevelSpec = Field(default_factory=LevelSpec)
    folders: dict[Name, str] = Field(default={}, description="Folders that must be writable.")
    nodes: dict[Name, NodeSpec] = {}
    services: dict[Name, ServiceSpec] = {}
    databases: dict[Name, DatabaseHealthSpec] = {}
    certificates: dict[Name, CertificateSpec] = {}
    memory_limits: dict[Name, MemoryLimitSpec] = {}
    claims: ItemsSpec | None = Field(
        None, description="Compare what both systems say of their items with the claims.")
    late_runs: Duration = Field(
        timedelta(minutes=2), description="A flow run that starts later than this is a warning."
    )
    repairs: dict[Issue, RepairSpec] = {}
    back_pressure: BackPressureSpec | None = None
    limits: dict[Name, Limit] = Field(
        default={}, description="Prefect's global concurrency limits to enforce."
    )
