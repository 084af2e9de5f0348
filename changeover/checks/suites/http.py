"""One request and everything that its answer should be."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import httpx

from changeover.checks.suites.result import CheckResult, judged
from changeover.checks.suites.target import CheckTarget
from changeover.comparison.answers import compare_bodies
from changeover.comparison.documents import Unparsable, parse_json
from changeover.domain.rewriting import routes_for, seen
from changeover.domain.route_matching import Request
from changeover.domain.routing import System
from changeover.gateway import reaching
from changeover.plan.paths import MISSING, value_at
from changeover.plan.suites import HttpCheck
from changeover.shadow.judging import Judge

LONGEST_SHOWN = 300


def check_http(spec: HttpCheck, target: CheckTarget) -> CheckResult:
    """Send the request and compare its answer with what the plan expects."""
    client_of, url = _way(spec, target)
    # The fastest of three counts: one that is slow by chance is no failure.
    is_safe = spec.method in ("GET", "HEAD", "OPTIONS")
    repeats = 3 if spec.within and is_safe else 1
    try:
        with client_of(timeout=spec.timeout.total_seconds()) as client:
            tries = [_timed(client, spec, url) for _ in range(repeats)]
        other = None
        if spec.like_baseline:
            there = target.url("baseline") + spec.path
            with target.client("baseline", timeout=spec.timeout.total_seconds()) as client:
                other = client.send(_request(client, spec, there))
    except httpx.HTTPError as error:
        why = type(error).__name__
        problem = f"{spec.of} does not answer {spec.method} {spec.path} ({why})"
        return judged([problem], "")
    answer = tries[-1][0]
    took = 1000 * min(seconds for _, seconds in tries)
    problems = [*_status(spec, answer), *_headers(spec, answer), *_body(spec, answer)]
    allowed = 1000 * spec.within.total_seconds() if spec.within else math.inf
    if took > allowed:
        problems.append(
            f"answered after {took:.0f} ms, which is longer than {allowed:.0f} ms")
    if other is not None:
        problems += _unlike(target, other, answer)
    status = answer.status_code
    return judged(
        problems, f"{spec.of} answers {spec.method} {spec.path} with {status} in {took:.1f} ms",
        status=status, milliseconds=round(took, 2),
        # An answer that is as it should be may contain people's data; it is not stored.
        body=answer.text[:LONGEST_SHOWN] if problems else "",
    )


def _way(spec: HttpCheck, target: CheckTarget) -> tuple[Callable[..., httpx.Client], str]:
    """Return what makes a client of the host that is asked, and the address.

    Both systems' answers can be compared for a path of users only: the candidate is then asked for
    what the gateway would make of it.
    """
    if not spec.like_baseline or spec.of != "candidate":
        return partial(target.client, spec.of), target.url(spec.of) + spec.path
    plan, system = target.plan, target.plan.systems.candidate
    headers = {name.lower(): [value] for name, value in spec.headers.items()}
    (host,) = headers.get("host", [reaching.authority(system)])
    found = seen(system, Request(spec.path, spec.method, host, headers),
                 routes_for(plan, System.CANDIDATE))
    if not found.is_host_kept:
        system = system.model_copy(update={"host": found.host})
    path = found.path.removeprefix(system.base_path)
    return partial(reaching.new_client, system), reaching.address(system) + path


def _request(client: httpx.Client, spec: HttpCheck, url: str) -> httpx.Request:
    body: dict[str, Any] = {}
    if isinstance(spec.body, str):
        body = {"content": spec.body}
    elif spec.body is not None:
        body = {"json": spec.body}
    return client.build_request(spec.method, url, headers=spec.headers, **body)


def _timed(client: httpx.Client, spec: HttpCheck, url: str) -> tuple[httpx.Response, float]:
    began = time.perf_counter()
    return client.send(_request(client, spec, url)), time.perf_counter() - began


def _status(spec: HttpCheck, answer: httpx.Response) -> list[str]:
    allowed = [spec.status] if isinstance(spec.status, int) else spec.status
    if answer.status_code in allowed if allowed else answer.is_success:
        return []
    wanted = ", ".join(map(str, allowed)) if allowed else "2xx"
    return [f"status {answer.status_code}, not {wanted}"]


def _headers(spec: HttpCheck, answer: httpx.Response) -> list[str]:
    problems = []
    for name, pattern in spec.has_headers.items():
        has = answer.headers.get(name)
        if not re.search(pattern, has or ""):
            problems.append(f"header {name} is {has!r}, which does not match {pattern!r}")
    return problems


def _body(spec: HttpCheck, answer: httpx.Response) -> list[str]:
    problems = []
    if spec.contains is not None and spec.contains not in answer.text:
        problems.append(f"the body does not contain {spec.contains!r}")
    if not spec.values:
        return problems
    try:
        document = parse_json(answer.content)
    except Unparsable as error:
        return [*problems, f"the body is {error}"]
    for path, wanted in spec.values.items():
        found = value_at(document, path)
        if found is MISSING:
            problems.append(f"{path} is missing, not {wanted!r}")
        elif not _is_same(found, wanted):
            problems.append(f"{path} is {found!r}, not {wanted!r}"[:LONGEST_SHOWN])
    return problems


def _is_same(found: Any, wanted: Any) -> bool:
    """Whether a value is the wanted one, of one type; a plan's numbers are as exact as floats."""
    # `parse_json` keeps each digit of a number; YAML has made floats of the plan's.
    if type(found) is Decimal:
        found = float(found)
    return type(found) is type(wanted) and bool(found == wanted)


def _unlike(target: CheckTarget, baseline: httpx.Response, candidate: httpx.Response) -> list[str]:
    """Name the places in which the body differs from the baseline's beyond the plan's rules."""
    plan, today = target.plan, datetime.now(UTC).date()
    judge = Judge.of(plan.shadow, plan.comparison, today=today)
    ours = baseline.headers.get("content-type", "")
    theirs = candidate.headers.get("content-type", "")
    types = ours, theirs
    found = compare_bodies(baseline.content, candidate.content, types, judge.rules)
    problems = []
    for each in found.divergences[:10]:
        value, other = each.candidate or "missing", each.baseline or "missing"
        problems.append(f"{each.path} is {value}, the baseline's {other}")
    return problems
