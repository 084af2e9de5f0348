"""One request and everything that its answer should be."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

from changeover.checks.suites.result import CheckResult, judged
from changeover.checks.suites.target import CheckTarget
from changeover.comparison.answers import compare_bodies
from changeover.comparison.documents import Unparsable, parse_json
from changeover.machine.http import new_client
from changeover.plan.paths import MISSING, value_at
from changeover.plan.suites import HttpCheck
from changeover.shadow.judging import Judge

LONGEST_SHOWN = 300


def check_http(spec: HttpCheck, target: CheckTarget) -> CheckResult:
    """Send the request and compare its answer with what the plan expects."""
    url = target.url(spec.of) + spec.path
    # the fastest of three counts: one that is slow by chance is no failure
    repeats = 3 if spec.within and spec.method in ("GET", "HEAD", "OPTIONS") else 1
    try:
        with _client(spec) as client:
            tries = [_timed(client, spec, url) for _ in range(repeats)]
            other = client.send(_request(client, spec, target.url("baseline") + spec.path)) \
                if spec.like_baseline else None
    except httpx.HTTPError as error:
        return judged([f"{spec.of} does not answer {spec.method} {spec.path} "
                       f"({type(error).__name__})"], "")
    answer, seconds = tries[-1][0], min(each for _, each in tries)
    problems = [*_status(spec, answer), *_headers(spec, answer), *_body(spec, answer)]
    if spec.within and seconds > spec.within.total_seconds():
        problems.append(f"answered after {seconds * 1000:.0f} ms, which is longer than "
                        f"{spec.within.total_seconds() * 1000:.0f} ms")
    if other is not None:
        problems += _unlike(target, other, answer)
    return judged(
        problems, f"{spec.of} answers {spec.method} {spec.path} with {answer.status_code} in "
        f"{seconds * 1000:.1f} ms",
        status=answer.status_code, milliseconds=round(seconds * 1000, 2),
        body=answer.text[:LONGEST_SHOWN] if problems else "",
    )


def _client(spec: HttpCheck) -> httpx.Client:
    return new_client(timeout=spec.timeout.total_seconds())


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
    return [
        f"header {name} is {answer.headers.get(name)!r}, which does not match {pattern!r}"
        for name, pattern in spec.has_headers.items()
        if not re.search(pattern, answer.headers.get(name, ""))
    ]


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
    if type(found) is Decimal:
        found = float(found)
    return type(found) is type(wanted) and bool(found == wanted)


def _unlike(target: CheckTarget, baseline: httpx.Response, candidate: httpx.Response) -> list[str]:
    """Name the places in which the body differs from the baseline's beyond the plan's rules."""
    judge = Judge.of(target.plan.shadow, target.plan.comparison, today=datetime.now(UTC).date())
    types = baseline.headers.get("content-type", ""), candidate.headers.get("content-type", "")
    found = compare_bodies(baseline.content, candidate.content, types, judge.rules)
    return [
        f"{each.path} is {each.candidate or 'missing'}, the baseline's {each.baseline or 'missing'}"
        for each in found.divergences[:10]
    ]
