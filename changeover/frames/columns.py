"""The tables that analysts get: their columns, units and types. Pure data.

`docs/frames.md` has the same tables; a test holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a column holds."""

    TIME = "time"
    WHOLE = "whole"
    NUMBER = "number"
    FLAG = "flag"
    TEXT = "text"
    JSON = "json"


DTYPES = {
    Kind.TIME: "datetime64[us, UTC]", Kind.WHOLE: "Int64", Kind.NUMBER: "float64",
    Kind.FLAG: "boolean", Kind.TEXT: "string", Kind.JSON: "string",
}
"""The dtype of each kind in a DataFrame; missing values are NaT, NA or NaN."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        name: Its name.
        kind: What it holds.
        meaning: What it says, in a phrase.
        unit: Of its numbers; empty where there is none.
        is_key: Whether it may say which user something was about: left out unless asked for.
    """

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    is_key: bool = False

    @property
    def dtype(self) -> str:
        """Its dtype in a DataFrame."""
        return DTYPES[self.kind]


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what a row is, and its columns. Rows are in the order in which they came."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    def shown(self, *, with_keys: bool) -> tuple[Column, ...]:
        """Return the columns, without those that may name a user unless these are wanted."""
        return tuple(each for each in self.columns if with_keys or not each.is_key)


def _time(name: str, meaning: str) -> Column:
    return Column(name, Kind.TIME, meaning)


def _whole(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, Kind.WHOLE, meaning, unit)


def _number(name: str, meaning: str, unit: str = "") -> Column:
    return Column(name, Kind.NUMBER, meaning, unit)


def _flag(name: str, meaning: str) -> Column:
    return Column(name, Kind.FLAG, meaning)


def _text(name: str, meaning: str) -> Column:
    return Column(name, Kind.TEXT, meaning)


def _json(name: str, meaning: str) -> Column:
    return Column(name, Kind.JSON, meaning)


def _key(name: str, meaning: str) -> Column:
    return Column(name, Kind.TEXT, meaning, is_key=True)


_STAGES = Table("stages", "a stage of a cutover that was entered or left out", (
    _whole("cutover", "number of the cutover"),
    _text("cutover_status", "running, promoted, rolled_back, failed, stopped"),
    _text("stage", "key of the stage"),
    _text("status", "soaking, waiting, promoted, skipped, rolled_back"),
    _time("entered_at", "when users were moved"),
    _time("soak_until", "when its soak ends, or ended"),
    _whole("round", "soaks so far", "soaks"),
    _time("decided_at", "when it was left; missing before"),
    _text("reason", "why it was decided as it was"),
))
_VERDICTS = Table("verdicts", "an evaluation of a gate", (
    _whole("id", "number of the verdict"),
    _time("at", "when it was judged"),
    _whole("cutover", "number of the cutover"),
    _text("stage", "key of the stage"),
    _text("gate", "name of the gate"),
    _whole("round", "which soak of the stage, from 1"),
    _whole("attempt", "which evaluation of that soak"),
    _text("verdict", "pass, fail, inconclusive"),
    _text("reason", "one sentence with the numbers"),
    _whole("checks", "checks of the gate", "checks"),
))
_CHECKS = Table("checks", "what one check of a verdict found", (
    _whole("verdict", "number of the verdict"),
    _time("at", "when it was judged"),
    _text("stage", "key of the stage"),
    _text("gate", "name of the gate"),
    _whole("check", "number in the gate, from 1"),
    _text("metric", "what was measured"),
    _text("of", "baseline or candidate"),
    _text("subset", "which requests; missing: all"),
    _text("bound", "what is allowed, in words"),
    _text("result", "pass, fail, inconclusive"),
    _text("reason", "one sentence with the numbers"),
    _text("on_fail", "what follows when it fails: rollback, ask, show"),
    _number("value", "what was measured", "base unit of the metric: share, s, bytes"),
    _whole("samples", "observations behind it", "samples"),
    _number("baseline_value", "the baseline's; missing where not compared", "as value"),
    _whole("baseline_samples", "observations behind that", "samples"),
    _number("low", "lower end of the interval (95 %)", "as interval_of says"),
    _number("high", "upper end of it", "as low"),
    _text("interval_of", "value, or ratio or difference to the baseline"),
    _time("window_start", "start of what was looked at"),
    _time("window_end", "end of it"),
))
_NUMBERS = (
    _whole("requests", "requests meant for the system", "requests"),
    _whole("failed", "of those, failed by the system (gateway: refused)", "requests"),
    _whole("client_errors", "of those, answered 4xx", "requests"),
    _whole("user_errors", "of those, whose user saw 5xx or no answer", "requests"),
    _whole("redirects", "of those, answered 3xx without 304", "requests"),
    _whole("answers", "of those, answers 2xx to GET", "requests"),
    _whole("empty_answers", "of the answers, without a body", "requests"),
    _whole("answer_bytes", "bodies of the answers together", "bytes"),
    _number("p50_seconds", "median duration; missing without requests", "s"),
    _number("p95_seconds", "95 % of the requests took at most this", "s"),
    _number("p99_seconds", "99 % of the requests took at most this", "s"),
)
_BY_KIND = (
    _json("failed_by_class", "failed requests by class of error"),
    _json("statuses", "requests by status code"),
    _json("latency_bins", "durations by bin of Envoy's log-linear histogram; bins add up"),
)
_SAMPLES = Table("samples", "what one gateway measured of a system in a second or minute", (
    _time("at", "start of the second or minute"),
    _text("system", "baseline, candidate; shadow: comparisons; gateway: all that arrived"),
    _whole("seconds", "its length", "s"),
    _text("gateway", "which gateway"),
    _whole("watched_seconds", "how much of it requests were watched", "s"),
    *_NUMBERS,
    _whole("probes", "health probes", "probes"),
    _whole("probes_up", "of those, answered well", "probes"),
    _whole("memory_bytes", "highest memory of its processes", "bytes"),
    _number("cpu_cores", "mean cores used by them", "cores"),
    _whole("compared", "answers compared (system shadow)", "comparisons"),
    _whole("matched", "of those, without divergence", "comparisons"),
    _number("similarity_sum", "sum of their similarities, each 0 to 1"),
    *_BY_KIND,
))
_ROUTE_SAMPLES = Table(
    "route_samples",
    "what one gateway measured of a route's requests to a system in a second or minute", (
        _time("at", "start of the second or minute"),
        _text("route", "name of the route; requests of no route are in no row"),
        _text("system", "baseline or candidate"),
        _whole("seconds", "its length", "s"),
        _text("gateway", "which gateway"),
        _whole("watched_seconds", "how much of it requests were watched", "s"),
        *_NUMBERS, *_BY_KIND))
_COMPARISONS = Table("comparisons", "a request that both systems answered", (
    _whole("id", "number of the comparison"),
    _time("at", "when the request came"),
    _number("similarity", "of both answers, 0 to 1", "share"),
    _flag("is_match", "whether nothing differs that the rules mind"),
    _whole("divergences", "places that differ", "places"),
    _whole("ignored", "places that rules hide", "places"),
    _number("baseline_seconds", "how long the baseline took", "s"),
    _number("candidate_seconds", "how long the candidate took", "s"),
    _text("error", "why there was no second answer; empty: there was one"),
    _key("request", "method and path"),
    _key("request_id", "id of the request"),
))
_DIVERGENCES = Table("divergences", "a place at which answers differ", (
    _text("place", "normalised path in the answers"),
    _whole("diverged", "comparisons that differ there", "comparisons"),
    _whole("ignored", "of which a rule hides it", "comparisons"),
    _whole("only_candidate", "the candidate differs, the baseline not from itself", "pairs"),
    _whole("only_baseline", "the baseline differs from itself only", "pairs"),
    _whole("both", "both differ", "pairs"),
    _time("first_seen", "when it was first seen"),
    _time("last_seen", "when it was last seen"),
    _json("kinds", "how often each kind of difference"),
    Column("examples", Kind.JSON, "up to three examples with both values", is_key=True),
))
_OUTCOMES = Table("outcomes", "an outcome that an application reported", (
    _time("at", "second in which it was accepted"),
    _text("system", "baseline or candidate"),
    _flag("success", "whether the work went well"),
    _number("seconds", "how long it took; missing where not said", "s"),
    _text("segments", "segments of its user, separated by blanks"),
    _json("quality", "named quality numbers"),
    _key("id", "the reporter's own id"),
))
_FIRINGS = Table("firings", "a trigger that fired", (
    _whole("id", "number of the firing"),
    _time("fired_at", "when it fired"),
    _text("trigger", "name of the trigger"),
    _text("action", "rollback, hold, alert"),
    _text("did", "what was done, with the segment or route if it was one's"),
    _text("reason", "one sentence with the numbers"),
    _time("evidence_complete_at", "end of the second that completed the evidence"),
    _time("published_at", "when the gateway confirmed a rollback; missing without one"),
    _whole("epoch", "epoch of the routing state"),
    _json("evidence", "what stands behind it"),
))
_AUDIT = Table("audit", "an event of the audit", (
    _whole("seq", "number in the chain, from 1"),
    _time("at", "when it happened"),
    _text("actor", "who or what acted"),
    _text("kind", "what happened, as stage.entered"),
    _json("data", "its facts; names of claimed items only with keys"),
    _text("hash", "sha256 of this link and the one before"),
))

TABLES = {table.name: table for table in (
    _STAGES, _VERDICTS, _CHECKS, _SAMPLES, _ROUTE_SAMPLES, _COMPARISONS, _DIVERGENCES, _OUTCOMES,
    _FIRINGS, _AUDIT)}
"""Every table by its name."""
