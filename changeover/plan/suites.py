"""The parts of a plan about validation suites: lists of checks, each of one kind. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from changeover.plan.fields import Duration, HeaderName, Part, Path, Pattern, Regex, Share, Size
from changeover.plan.flags import FlagKey, FlagValue
from changeover.plan.load_requests import Asked, LoadRequest, all_asked

Side = Literal["baseline", "candidate"]
Host = Literal["baseline", "candidate", "gateway"]
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
Method = Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
Status = Annotated[int, Field(ge=100, le=599)]
_Paths = Annotated[list[Path], Field(min_length=1)]
_PATHS = "Read in turn, with GET. Default: `/`, where there are no `requests`."
_REQUESTS = "Sent in turn after the paths, with method, headers and body."
Json = dict[str, Any] | list[Any] | str | int | float | bool | None


class _Check(Part):
    """Settings of every check."""

    name: str | None = Field(
        None, min_length=1, max_length=80, description="Default: its kind and its target."
    )
    timeout: Duration = Field(timedelta(seconds=60), description="Longest time for the check.")
    alone: bool = Field(False, description="Run it while no other check runs; load always does.")


class HttpCheck(_Check):
    """One request: status, headers, body and latency."""

    kind: Literal["http"]
    of: Host = "candidate"
    method: Method = "GET"
    path: Path = "/health"
    headers: dict[HeaderName, str] = Field(default={})
    body: Json = Field(None, description="Sent as JSON; text is sent as it is.")
    status: Status | list[Status] | None = Field(None, description="Default: any 2xx.")
    has_headers: dict[HeaderName, Regex] = Field(
        default={}, description="Regular expressions that response headers must match."
    )
    contains: str | None = Field(None, description="Text that the body must contain.")
    values: dict[Pattern, Json] = Field(
        default={}, description="Values in a JSON body by path: `{$.status: ok}`."
    )
    like_baseline: bool = Field(
        False,
        description="The body must match the baseline's, by `comparison`; `path` is the users', "
        "and the candidate sees it as the gateway rewrites it."
    )
    within: Duration | None = Field(None, description="Longest latency of the fastest of three.")


class OpenApiCheck(_Check):
    """The candidate does what its OpenAPI document says, and has the baseline's operations."""

    kind: Literal["openapi"]
    document: str = Field("/openapi.json", description="Path at the candidate, or a file.")
    baseline_document: str | None = Field(
        "/openapi.json", description="Path at the baseline, or a file; null: not compared."
    )
    examples: int = Field(25, ge=1, le=10_000, description="Generated requests per operation.")
    methods: list[Method] = Field(default=["GET"], description="Operations that are called.")
    timeout: Duration = timedelta(minutes=10)


class CommandCheck(_Check):
    """Any test suite: a command that must end with an expected exit code."""

    kind: Literal["command"]
    command: list[str] = Field(min_length=1)
    directory: str | None = Field(None, description="Working directory, relative to the plan.")
    env: dict[str, str] = Field(default={})
    exit_codes: list[int] = Field(default=[0], min_length=1)
    timeout: Duration = timedelta(minutes=10)


class ReplayCheck(_Check):
    """Recorded traffic against both systems."""

    kind: Literal["replay"]
    file: str = Field(description="HAR or JSON lines, relative to the plan.")
    hosts: list[str] = Field(
        default=[], description="Hosts of the recorded system in a HAR file; default: the first "
                                "request's host.")
    unsafe: bool = Field(False, description="Also replay POST, PUT, PATCH and DELETE.")
    concurrency: int = Field(4, ge=1, le=200)
    similarity: Share = Field(0.95, description="Least mean similarity.")
    divergence_rate: Share | None = Field(None, description="Largest share of answers that differ.")
    timeout: Duration = timedelta(minutes=30)


class LoadCheck(_Check):
    """Open-loop load at growing rates: both systems at the same rate, and the knee."""

    kind: Literal["load"]
    paths: _Paths | None = Field(None, description=_PATHS)
    requests: list[LoadRequest] = Field(default=[], description=_REQUESTS)
    rates: list[Annotated[float, Field(gt=0, le=100_000)]] = Field(
        min_length=1, description="Requests per second, growing."
    )
    each: Duration = Field(timedelta(seconds=10), description="Time at each rate.")
    baseline: bool = Field(True, description="Put the same load on the baseline first.")
    error_rate: Share = Field(0.01, description="Largest share of failed requests at any rate.")
    latency_p99: Duration | None = Field(None, description="Longest p99 at any rate.")
    ratio_to_baseline: float | None = Field(
        None, gt=0, description="Largest ratio to the baseline's p99 at the same rate."
    )
    timeout: Duration = timedelta(minutes=30)

    @property
    def asked(self) -> list[Asked]:
        """What is asked in turn."""
        return all_asked(self.paths, self.requests)

    @field_validator("rates")
    @classmethod
    def _grow(cls, rates: list[float]) -> list[float]:
        if rates != sorted(set(rates)):
            raise ValueError("rates must grow")
        return rates


class SoakCheck(_Check):
    """Steady load while the candidate's memory is watched: does it leak?"""

    kind: Literal["soak"]
    of: Side = "candidate"
    paths: _Paths | None = Field(None, description=_PATHS)
    requests: list[LoadRequest] = Field(default=[], description=_REQUESTS)
    rate: float = Field(20.0, gt=0, le=100_000, description="Requests per second.")
    duration: Duration = timedelta(minutes=10)
    growth: Size = Field(
        20_000_000, ge=0,
        description="Growth in bytes per hour that counts as no leak."
    )
    timeout: Duration = timedelta(hours=26)

    @property
    def asked(self) -> list[Asked]:
        """What is asked in turn."""
        return all_asked(self.paths, self.requests)


class SecurityCheck(_Check):
    """What an attacker would try first."""

    kind: Literal["security"]
    of: Host = "candidate"
    certificate: Duration | None = Field(
        None, description="The certificate must be trusted, and valid for this long."
    )
    ca_file: str | None = Field(
        None,
        description="Certificate authorities to trust in addition to the system's."
    )
    demands_authentication: list[Path] = Field(
        default=[], description="Paths that must answer 401 or 403 without credentials."
    )
    headers: dict[HeaderName, Regex] = Field(
        default={"x-content-type-options": "nosniff"},
        description="Regular expressions that headers of `paths` must match.",
    )
    paths: list[Path] = Field(
        default=["/"], min_length=1,
        description="Paths whose headers are checked."
    )
    bad_input: list[Path] = Field(
        default=["/"], description="Paths that get broken input: no 5xx, no stack trace allowed."
    )
    refused_methods: list[Literal["TRACE", "CONNECT", "PUT", "DELETE", "PATCH"]] = Field(
        default=["TRACE"]
    )


class DatabaseRef(Part):
    """A database: its URL, or the variable with a URL that has a password."""

    url: str | None = Field(None, pattern=r"^(sqlite|postgresql(\+psycopg)?)://\S*$")
    env: Variable | None = Field(None, description="Environment variable with the URL.")

    @model_validator(mode="after")
    def _one_way(self) -> DatabaseRef:
        if (self.url is None) == (self.env is None):
            raise ValueError("exactly one of `url` and `env` is required")
        return self


class TableRef(DatabaseRef):
    """A table in a database."""

    table: str = Field(pattern=r"^[^\s;]{1,120}$", description="`orders` or `schema.orders`.")


class DatabaseCheck(_Check):
    """A database is reachable, at the right migration, and writable where it should be."""

    kind: Literal["database"]
    database: DatabaseRef
    revision: str | None = Field(None, description="Alembic revision that it must have.")
    tables: list[str] = Field(default=[], description="Tables that must exist.")
    writable: bool = Field(False, description="Write a row and roll it back.")
    within: Duration = Field(timedelta(seconds=5), description="Longest time to connect.")


class DataConsistencyCheck(_Check):
    """The same rows on both sides, found by checksums over ranges of keys."""

    kind: Literal["data_consistency"]
    baseline: TableRef
    candidate: TableRef
    key: str
    columns: list[str] | None = Field(None, description="Default: columns that both tables have.")
    ignore: list[str] = Field(default=[])
    mask: list[str] = Field(default=[], description="Columns whose values are never shown.")
    differences: int = Field(0, ge=0, description="Most rows that may differ.")
    timeout: Duration = timedelta(hours=1)


class ResourceCheck(_Check):
    """The machine has the required memory, disk, CPU and ports."""

    kind: Literal["resource"]
    memory: Size | None = Field(None, description="Least available memory.")
    disk: dict[str, Size] = Field(default={}, description="Least free space by path.")
    cpu: Share | None = Field(None, description="Most CPU in use, measured for a second.")
    listening: list[str] = Field(default=[], description="`host:port` that must answer.")
    free_ports: list[str] = Field(default=[], description="`host:port` that must be free.")


class FlagsFor(Part):
    """What one user must get."""

    key: str | None = Field(None, min_length=1, max_length=1024, description="The user's key.")
    attributes: dict[str, str | int | float | bool] = Field(
        default={}, description="The user's attributes; for segments, by the header's name."
    )
    expect: dict[FlagKey, FlagValue] = Field(min_length=1)


class FlagsCheck(_Check):
    """Flags have the expected values."""

    kind: Literal["flags"]
    expect: dict[FlagKey, FlagValue] = Field(
        default={}, description="Values for users whom no rule fits."
    )
    users: list[FlagsFor] = Field(default=[], description="Values for given users.")

    @model_validator(mode="after")
    def _expects(self) -> FlagsCheck:
        if not self.expect and not self.users:
            raise ValueError("`expect` or `users` is required")
        return self


class GatewayCheck(_Check):
    """The gateway serves exactly the routing state, and users reach the system it names."""

    kind: Literal["gateway"]


class ClaimsCheck(_Check):
    """The systems and the claims agree about each item: who did it, and whether."""

    kind: Literal["claims"]
    path: Path = Field(
        "/items",
        description="Where each system lists its items: [{item, status}], with status `working`, "
        "`done`, or another one, which is not compared.")
    grace: Duration = Field(
        timedelta(minutes=1),
        description="Items that were claimed so short a time ago are left out.")


AnyCheck = Annotated[
    HttpCheck | OpenApiCheck | CommandCheck | ReplayCheck | LoadCheck | SoakCheck | SecurityCheck
    | DatabaseCheck | DataConsistencyCheck | ResourceCheck | FlagsCheck | GatewayCheck
    | ClaimsCheck,
    Field(discriminator="kind"),
]


def check_names(checks: list[AnyCheck]) -> list[str]:
    """Return a unique name for each check of a suite: given, or from its kind and target."""
    names: list[str] = []
    for check in checks:
        wished = check.name or " ".join(filter(None, (check.kind, _about(check))))
        name, number = wished, 1
        while name in names:
            number += 1
            name = f"{wished} {number}"
        names.append(name)
    return names


def _about(check: AnyCheck) -> str:
    if isinstance(check, HttpCheck):
        return f"{check.of} {check.path}"
    if isinstance(check, CommandCheck):
        return check.command[0].rsplit("/", 1)[-1]
    if isinstance(check, ReplayCheck):
        return check.file.rsplit("/", 1)[-1]
    if isinstance(check, SecurityCheck | SoakCheck):
        return check.of
    return check.candidate.table if isinstance(check, DataConsistencyCheck) else ""
