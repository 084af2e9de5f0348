"""The part of a plan about external sources: whom to ask, and which metrics they have. Pure.

Every kind has the same limits and differs in its address and its queries. What does not fit
together across the plan is in `changeover.plan.external`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from changeover.plan.fields import Duration, HeaderName, Part, Path
from changeover.plan.metrics import QUALITY_NAME, Unit
from changeover.plan.paths import Wild, parse_pattern
from changeover.plan.placeholders import Language, faults, named_in
from changeover.plan.units import format_duration

LONGEST_QUERY = 10_000
MOST_POINTS = 11_000
"""Points of one series that Prometheus answers at most."""
# the forms are narrow on purpose: a secret that slips in must not look right
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")
_BASE = re.compile(
    r"https?://(?:[^/\s:@?#\[\]]+|\[[0-9a-f:]+\])"  # a host, or an IPv6 address
    r"(?::\d{1,5})?(?:/[^\s?#@]*)?")
_DATABASE = re.compile(
    r"[a-z][a-z0-9_]*(?:\+[a-z0-9_]+)?://"  # its kind, perhaps with a driver
    r"[^\s:@?]*(?:@[^\s:@?]*)?(?::\d+)?[^\s@?]*")  # a user, but no password


def _variable(found: object) -> str:
    # what stands here may be the secret itself, so no message repeats it
    if not isinstance(found, str) or not _VARIABLE.fullmatch(found):
        raise ValueError(
            "this must be the name of an environment variable, "
            "such as SHOP_TOKEN, and never the secret itself; "
            "what was found is not shown")
    return found


def _base_address(found: object) -> str:
    if not isinstance(found, str) or not _BASE.fullmatch(found):
        raise ValueError(
            "this must be http:// or https:// with host and port, "
            "perhaps with a path, such as http://127.0.0.1:9090; "
            "credentials belong into `auth`")
    return found.rstrip("/")


def _database(found: object) -> str:
    if not isinstance(found, str) or not _DATABASE.fullmatch(found):
        raise ValueError(
            "this must be a database's URL "
            "without a password and without options, "
            "such as sqlite:///shop.db; give any other one by `env`")
    return found


def _query(language: Language) -> BeforeValidator:
    def check(found: object) -> object:
        if isinstance(found, str) and (wrong := list(faults(found, language))):
            raise ValueError("; ".join(dict.fromkeys(wrong)))
        return found
    return BeforeValidator(check)


def _one_value(text: str) -> str:
    for step in parse_pattern(text):
        # several values are no number, and XML is not read here
        is_many = step.is_deep or step.token is Wild.ANY
        if is_many or text.startswith("/"):
            such = "such as $.data.rate or $.items[0].count"
            raise ValueError(
                f"{text!r} must lead to one value in JSON, {such}; "
                "`..` and `*` are not allowed")
    return text


Text = Annotated[str, Field(min_length=1, max_length=LONGEST_QUERY)]
SecretVariable = Annotated[str, BeforeValidator(_variable)]
PromQl = Annotated[Text, _query(Language.PROMQL)]
Sql = Annotated[Text, _query(Language.SQL)]
Request = Annotated[Path, _query(Language.ADDRESS)]
Word = Annotated[Text, _query(Language.WORDS)]
OneValue = Annotated[str, BeforeValidator(_one_value), Field(examples=["$.data.rate"])]
Column = Annotated[str, Field(min_length=1, max_length=200)]
MetricName = Annotated[str, Field(pattern=rf"^{QUALITY_NAME}$")]


class AuthSpec(Part):
    """How a source knows us: always by the names of environment variables."""

    basic: SecretVariable | None = Field(None, description="Variable with `user:password`.")
    bearer: SecretVariable | None = Field(None, description="Variable with a token.")
    headers: dict[HeaderName, SecretVariable] = Field(
        default={}, description="Further headers, and the variables with their values.")

    @model_validator(mode="after")
    def _one_way(self) -> AuthSpec:
        if self.basic and self.bearer:
            raise ValueError("`basic` and `bearer` are the same header; give one of them")
        return self

    @property
    def variables(self) -> frozenset[str]:
        """Names of the variables with secrets."""
        # what must be cut out of every text that a source makes
        given = {self.basic, self.bearer, *self.headers.values()}
        return frozenset(name for name in given if name)


class SystemNames(Part):
    """What `{system}` becomes; by default `baseline` and `candidate`."""

    baseline: str = Field("baseline", min_length=1, max_length=200)
    candidate: str = Field("candidate", min_length=1, max_length=200)


class _Measured(Part):
    """What every external metric says, whatever its source is."""

    unit: Unit = Field("number", description="Shares are 0 to 1, durations seconds, sizes bytes.")
    factor: float = Field(
        1.0, gt=0, description="The value is multiplied by it: 0.001 makes seconds of ms.")

    def texts(self) -> Iterator[str]:
        """Yield the texts that may have placeholders."""
        yield from ()

    @property
    def placeholders(self) -> frozenset[str]:
        """The placeholders that it names."""
        return named_in(*self.texts())

    @property
    def is_counted(self) -> bool:
        """Whether the source says how many samples stand behind the value."""
        return getattr(self, "samples", None) is not None


class RangeSpec(Part):
    """A range query: the value at each step of the window, and what is taken of these."""

    step: Duration
    take: Literal["last", "max", "min", "mean", "sum"]

    @field_validator("step")
    @classmethod
    def _is_long_enough(cls, step: timedelta) -> timedelta:
        if step < timedelta(seconds=1):
            given = format_duration(step)
            raise ValueError(
                f"step {given} is too short; allowed are 1s and more")
        return step


class PrometheusMetric(_Measured):
    """A PromQL query whose answer is one number."""

    query: PromQl
    range_: RangeSpec | None = Field(
        None, alias="range", description="Ask for the whole window; default: for now.")
    samples: PromQl | None = Field(
        None, description="Query for how many samples stand behind the value.")
    at: PromQl | None = Field(
        None, description="Query for when it was measured, in Unix seconds.")

    def texts(self) -> Iterator[str]:
        """Yield its queries."""
        yield from (text for text in (self.query, self.samples, self.at) if text)


class SqlMetric(_Measured):
    """A query whose answer is one row."""

    query: Sql
    value: Column | None = Field(None, description="Its column; default: the first.")
    samples: Column | None = Field(
        None, description="Column that says how many samples stand behind the value.")
    at: Column | None = Field(
        None, description="Column that says when it was measured: a time, or Unix seconds.")

    def texts(self) -> Iterator[str]:
        """Yield its query."""
        yield self.query


class JsonMetric(_Measured):
    """A number in a JSON document."""

    path: Request = Field(description="Path and query of the request, below the source's URL.")
    value: OneValue = Field(description="Where the value stands in the answer.")
    samples: OneValue | None = Field(
        None, description="Where it says how many samples stand behind the value.")
    at: OneValue | None = Field(
        None, description="Where it says when it was measured: ISO 8601, or Unix seconds.")

    def texts(self) -> Iterator[str]:
        """Yield its request."""
        yield self.path


class CommandMetric(_Measured):
    """A program that prints one number, or a JSON document with one; started without a shell."""

    command: list[Word] = Field(min_length=1, description="Program and arguments.")
    value: OneValue | None = Field(
        None, description="Where the value stands in the JSON that it prints; default: it prints "
        "the number alone.")
    samples: OneValue | None = Field(
        None, description="Where it says how many samples stand behind the value.")
    at: OneValue | None = Field(
        None, description="Where it says when it was measured: ISO 8601, or Unix seconds.")

    def texts(self) -> Iterator[str]:
        """Yield its program and arguments."""
        yield from self.command

    @model_validator(mode="after")
    def _prints_one_kind(self) -> CommandMetric:
        if self.value is None and (self.samples or self.at):
            raise ValueError(
                "`samples` and `at` are places in JSON; "
                "give the place of `value` too")
        return self


class _Source(Part):
    """What every source has."""

    names: SystemNames = Field(default_factory=SystemNames)
    timeout: Duration = Field(
        timedelta(seconds=5), description="Longest wait for an answer, per attempt.")
    retries: int = Field(1, ge=0, le=3, description="Further attempts when nothing answers.")
    every: Duration = Field(
        timedelta(seconds=15), description="How often it is asked while a stage soaks and for "
        "triggers.")
    max_age: Duration = Field(
        timedelta(minutes=3), description="A value that was measured longer ago is stale.")

    @model_validator(mode="after")
    def _limits_fit(self) -> _Source:
        # longer than the most, a gate or the standings would wait for one source
        limits = (
            ("timeout", 0.1, 30),
            ("every", 1, 3600),
            ("max_age", 1, 7 * 86_400),
        )
        for name, least, most in limits:
            value = getattr(self, name)
            if not least <= value.total_seconds() <= most:
                shown = format_duration(value)
                allowed = f"{least:g} to {most} seconds"
                raise ValueError(
                    f"{name} {shown} is not allowed; allowed are {allowed}")
        if self.max_age < self.every:
            age, every = format_duration(self.max_age), format_duration(self.every)
            why = "so the value would be stale before it is asked again"
            raise ValueError(
                f"max_age {age} is shorter than every {every}, {why}; "
                "raise max_age or shorten every")
        return self


class HttpSource(_Source):
    """What is asked over HTTP."""

    url: Annotated[str, BeforeValidator(_base_address)]
    auth: AuthSpec = Field(default_factory=AuthSpec)
    ca_file: str | None = Field(None, description="Authorities to trust instead of the system's.")


class PrometheusSource(HttpSource):
    """A Prometheus server, or what speaks its HTTP API."""

    kind: Literal["prometheus"]
    metrics: dict[MetricName, PrometheusMetric] = Field(min_length=1)


class SqlSource(_Source):
    """A database that SQLAlchemy knows; it is only read."""

    kind: Literal["sql"]
    url: Annotated[str, BeforeValidator(_database)] | None = Field(
        None, description="A URL without a password; a SQLite file is relative to the plan.")
    env: SecretVariable | None = Field(None, description="Variable with the URL.")
    metrics: dict[MetricName, SqlMetric] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_way(self) -> SqlSource:
        if (self.url is None) == (self.env is None):
            raise ValueError("exactly one of `url` and `env` is required")
        return self


class JsonSource(HttpSource):
    """An HTTP service that answers with JSON."""

    kind: Literal["json"]
    metrics: dict[MetricName, JsonMetric] = Field(min_length=1)


class CommandSource(_Source):
    """Programs on this machine."""

    kind: Literal["command"]
    directory: str | None = Field(None, description="Working directory, relative to the plan.")
    env: list[SecretVariable] = Field(
        default=[], description="Variables that they get besides PATH, HOME, LANG and TZ; their "
        "values are never shown.")
    metrics: dict[MetricName, CommandMetric] = Field(min_length=1)


AnySource = Annotated[
    PrometheusSource | SqlSource | JsonSource | CommandSource, Field(discriminator="kind"),
]
AnyMetric = PrometheusMetric | SqlMetric | JsonMetric | CommandMetric
SOURCE_KINDS = ("prometheus", "sql", "json", "command")


def metrics_of(source: AnySource) -> Mapping[str, AnyMetric]:
    """Return a source's metrics by name."""
    return source.metrics
