"""The access log: parsing its lines, deciding whose failure a request was."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from changeover.analysis.window import ErrorClass
from changeover.domain.routing import BUCKETS, System
from changeover.gateway.envoy import body_limit, choice, grpc, hop, streams, subsets
from changeover.plan.statuses import GRPC_STATUSES

_CUT_SHORT = frozenset({"UT", "SI", "UC", "UR", "LR", "UPE", "DT"})
"""Envoy's flags that, on an answer that began well, say that it never came to its end."""

_NOT_HTTP = ("http1.", "http2.")
"""How Envoy's details begin for bytes of a user that are not HTTP, or beyond its limits."""
_CANCELLED = "http2.remote_"
"""Except when a user no longer wants the answer."""
LONGEST_REASON = 60
"""Characters of a refusal's reason that are counted by."""
SERVED_BY = {"baseline": System.BASELINE, "candidate": System.CANDIDATE}
_BEGIN = re.compile(rb'(?=\{"[a-z]+":)')
"""Where a line of the log begins; within its texts every quotation mark is escaped."""
_UNSPLIT = {str(system): system for system in System}
"""The system by the first part of a route's name, where it is the same one for everyone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as the gateway saw it.

    Args:
        end: Unix time of its end, in seconds.
        duration_us: Microseconds from its first byte in to its last byte out.
        status: HTTP status that the user got; 0 when none. For a call of gRPC that failed it is the
            one that its own status stands for.
        flags: Envoy's response flags, as `UF,URX`.
        route: Name of the route: `target:weight:safe|unsafe`, with `:kept` behind it for users of a
            segment that was rolled back.
        key: The user's key as the log shows it, or None: the first value only when there are
            several, and another text for bytes that are not UTF-8; its hash where the script found
            it. It distinguishes users, and does not give their bucket.
        served_by: The system that answered, or None.
        attempts: How many attempts were made.
        chosen: The system that Envoy chose by the key, or None where the line does not say so.
        method: The request's method.
        body_bytes: Bytes of the answer's body, as they were sent; None when the line does not say.
        details: Envoy's word for how the answer came to be, as `via_upstream`.
        subsets: Names of the subsets of requests that it is in; None when the line says nothing.
        bucket: The bucket that the gateway's script found; None where the key is a header.
        grpc: gRPC's own status, as `UNAVAILABLE`; None for requests that are no call of gRPC.
        long_connection: Of a websocket or an event stream that was meant for the candidate, the
            group with whose connections it is ended (`envoy.streams`); None for all others.
    """

    end: float
    duration_us: int
    status: int
    flags: frozenset[str]
    route: str
    key: str | None
    served_by: System | None
    attempts: int
    chosen: System | None = None
    method: str = "GET"
    body_bytes: int | None = None
    details: str = ""
    subsets: frozenset[str] | None = None
    bucket: int | None = None
    grpc: str | None = None
    long_connection: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whose request it was and how it went; `error` is None when the system did its work.

    `is_answer` says that it is a whole answer 2xx to GET, whose body has `Entry.body_bytes`.
    """

    system: System
    error: ErrorClass | None
    is_user_error: bool
    is_client_error: bool
    is_redirect: bool = False
    is_answer: bool = False


def parse_line(line: bytes, hosts: dict[str, System]) -> Entry | None:
    """Return the entry of one line, or None for a line that is not one.

    Args:
        line: JSON as the gateway writes it.
        hosts: System by upstream address, for lines that do not name the system; an unknown
            address there is one of the candidate's.
    """
    try:
        raw = _loads(line)
        started = float(raw["t"])
        # Python's JSON reads `NaN` and `Infinity`; neither belongs to a second.
        if not math.isfinite(started):
            return None
        microseconds = _microseconds(raw)
        host, body, chosen = raw.get("h"), raw.get("b"), raw.get("u") or ""
        served = SERVED_BY.get(raw.get("c") or "") or hosts.get(host or "", System.CANDIDATE)
        status, called = _status(raw)
        return Entry(
            end=started + microseconds / 1e6,
            duration_us=microseconds,
            status=status,
            flags=hop.flags_in(raw),
            route=raw.get("r") or "",
            key=raw.get("k"),
            served_by=served if host else None,
            attempts=int(raw.get("n") or 0),
            chosen=choice.meant(chosen),
            long_connection=streams.group_of(chosen),
            method=raw.get("m") or "",
            body_bytes=None if body is None else int(body),
            details=raw.get("d") or "",
            subsets=subsets.in_log(raw, raw.get("r") or ""),
            bucket=int(raw["q"]) if raw.get("q") else None,
            grpc=called,
        )
    # Other programs' lines and halves of lines after a crash end up here.
    except (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError):
        return None


def _microseconds(raw: dict[str, Any]) -> int:
    duration = raw.get("us")
    # Without an answer no byte went out, and Envoy knows whole milliseconds only.
    return int(raw["ms"]) * 1000 if duration is None else int(duration)


def _status(raw: dict[str, Any]) -> tuple[int, str | None]:
    """Return the HTTP status of an answer, and the name of gRPC's status if it has one."""
    status, number = int(raw["s"]), grpc.status_in(raw)
    # Another HTTP status than 200 says itself what happened, and without an answer nothing did.
    if number is None or status not in (0, 200):
        return status, None
    found = GRPC_STATUSES.get(number, GRPC_STATUSES[2])
    return (found.http if status else 0), found.name


def whole_lines(text: bytes) -> Iterator[bytes]:
    """Yield the lines of a log; one that begins within another (after a crash) is separate."""
    for line in text.splitlines():
        if line.rfind(b'{"') == 0:  # nearly all
            yield line
        else:
            for part in _BEGIN.split(line):
                if part.strip():
                    yield part


def _loads(line: bytes) -> Any:
    """Return a line's JSON; bytes that are not UTF-8 are replaced, so that the request counts."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line.decode("utf-8", "replace"))


def meant_for(entry: Entry) -> System | None:
    """Return the system that the routing meant the request for; None for maintenance answers.

    Envoy says so by the route and the cluster that it chose. The key's text in the log is not what
    Envoy hashed when the header came twice or is not UTF-8. Lines of an Envoy that was started
    before it logged this count for whoever answered.
    """
    target = entry.route.partition(":")[0]
    if target == "split":
        return entry.chosen or entry.served_by
    return _UNSPLIT.get(target)


def share_of(entry: Entry, system: System) -> float | None:
    """Return a system's share of the users (above 0, at most 1) by which a request was split.

    None when no split decided where its user goes.
    """
    target, _, rest = entry.route.partition(":")
    buckets = rest.partition(":")[0]
    if target != "split" or not buckets.isdigit():
        return None
    candidates = int(buckets) / BUCKETS
    share = candidates if system is System.CANDIDATE else 1 - candidates
    return share if share > 0 else None


def refusal(entry: Entry) -> str | None:
    """Return why the gateway itself refused a request, in Envoy's word; None when it did not.

    Either no route was chosen and no system asked: Envoy does not forward such a request
    (docs/gateway.md). Or it was not HTTP, or too large, seen perhaps only in the middle of a body;
    HTTP/2 then has no status. 408 means that the user never sent the end of the request.
    """
    details = entry.details
    is_of_no_system = not entry.route and entry.served_by is None
    is_answered = is_of_no_system and entry.status >= 400 and entry.status != 408
    is_broken = details.startswith(_NOT_HTTP) and not details.startswith(_CANCELLED)
    if not (is_answered or is_broken or details == body_limit.DETAILS):
        return None
    # In braces Envoy adds particulars of the one request; reasons are counted without them.
    return details.partition("{")[0][:LONGEST_REASON] or "unknown"


def classify(entry: Entry) -> Outcome | None:
    """Return how a request went for the system it was meant for; None when for neither.

    A request that the baseline answered in the candidate's place counts as the candidate's
    failure (`saved`). A user who went away is nobody's failure, and what the gateway refused is no
    system's request.
    """
    meant = meant_for(entry)
    if meant is None or refusal(entry) is not None:
        return None
    is_user_error = entry.status >= 500 or _is_cut_short(entry)
    is_saved = meant is System.CANDIDATE and entry.served_by is System.BASELINE
    error: ErrorClass | None = None
    if is_user_error:
        error = _error_of(entry)
    elif is_saved or (meant is System.CANDIDATE and entry.attempts > 1):
        error = ErrorClass.SAVED
    is_4xx = 400 <= entry.status < 500
    is_3xx = 300 <= entry.status < 400
    return Outcome(
        meant, error, is_user_error,
        is_client_error=is_4xx and not _is_unfinished(entry),
        # 304 leads nowhere else: the user's own copy is still good.
        is_redirect=is_3xx and entry.status != 304,
        is_answer=_is_answer(entry) and not is_user_error,
    )


def statuses_of(entry: Entry) -> tuple[str, ...]:
    """Return the statuses that a user got, as `404`, or `503` and `UNAVAILABLE` for gRPC.

    Empty without an answer, and for half a request.
    """
    if not entry.status or _is_unfinished(entry):
        return ()
    return (str(entry.status),) if entry.grpc is None else (str(entry.status), entry.grpc)


def _is_answer(entry: Entry) -> bool:
    """Whether it is a 2xx to GET that the user waited for; others need have no body."""
    is_success = entry.method == "GET" and 200 <= entry.status < 300
    return is_success and entry.body_bytes is not None and "DC" not in entry.flags


def _is_unfinished(entry: Entry) -> bool:
    """Whether the user never sent the end of the request: the gateway gave up waiting for it."""
    return entry.status == 408 and "SI" in entry.flags


def _is_cut_short(entry: Entry) -> bool:
    """Whether the user got no answer, or one that broke off, by no fault of their own."""
    if "DC" in entry.flags or _is_unfinished(entry):
        return False
    # A websocket on which nobody spoke for an hour is ended by the gateway, and missed by nobody.
    # One that its system ends is ended well: by RFC 6455 (7.1.1) the server closes the connection.
    is_ended = entry.status == 101 and bool(entry.flags & {"SI", "UC"})
    is_cut = bool(entry.flags & _CUT_SHORT)
    return entry.status == 0 or (is_cut and not is_ended)


def _error_of(entry: Entry) -> ErrorClass:
    """Return why a request failed, from the flags that Envoy sets."""
    by_flag = (
        (ErrorClass.TIMEOUT, {"UT", "SI", "DT"}),
        (ErrorClass.CONNECT, {"UF", "UH", "NC"}),
        (ErrorClass.RESET, {"UC", "UR", "LR", "UPE"}),
        # Last: also where only a second attempt was refused.
        (ErrorClass.OVERFLOW, {"UO"}),
    )
    for error, flags in by_flag:
        if entry.flags & flags:
            return error
    return ErrorClass.STATUS_5XX if entry.status >= 500 else ErrorClass.NO_ANSWER
