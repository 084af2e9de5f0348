"""What an attacker would try first: certificate, authentication, headers, broken input."""

from __future__ import annotations

import re
import socket
import ssl
import time
from datetime import timedelta
from urllib.parse import urlsplit

import httpx

from changeover.checks.suites.result import CheckResult, judged
from changeover.checks.suites.target import CheckTarget
from changeover.plan.suites import SecurityCheck
from changeover.plan.units import format_duration

STACK_TRACE = re.compile(
    rb"Traceback \(most recent call last\)|\n\s+at [\w.$<>]+\([\w.]+:\d+\)|goroutine \d+ \[|"
    rb"\.(?:py|rb|php|js|go|java|cs)[\"']?,? (?:line |:)\d+|Fatal error: |System\.\w*Exception"
)
BROKEN_BODIES = (b'{"a": ', b"\x00\xff\xfe", b"[" * 2_000, b'{"a": "' + b"x" * 70_000 + b'"}')
BROKEN_QUERIES = ("?id=%00", "?id=%27%22%3E%3Cscript%3E", "?id=../../etc/passwd", "?" + "a" * 4000)


def check_security(spec: SecurityCheck, target: CheckTarget) -> CheckResult:
    """Try everything that the plan names and list what is wrong."""
    problems: list[str] = []
    tried = 0
    if spec.certificate is not None:
        tried += 1
        problems += _certificate(spec, target, spec.certificate)
    try:
        own = {"verify": ssl.create_default_context(cafile=spec.ca_file)} if spec.ca_file else {}
        with target.client(
            spec.of, timeout=10, base_url=target.url(spec.of), **own
        ) as client:
            for part in (_authentication, _headers, _methods, _broken_input):
                found = part(spec, client)
                tried += found[0]
                problems += found[1]
    except httpx.HTTPError as error:
        problems.append(f"{spec.of} does not answer ({type(error).__name__})")
    return judged(problems, f"{spec.of}: {tried} attempts, nothing found", attempts=tried)


def _certificate(spec: SecurityCheck, target: CheckTarget, least: timedelta) -> list[str]:
    url = target.url(spec.of)
    parts = urlsplit(url)
    # The plan asks for a certificate: an address without one is a finding, not a mistake of ours.
    if parts.scheme != "https":
        return [f"{url} is not https: there is no certificate"]
    try:
        place = target.place(spec.of)
        left = certificate_left(
            (place.host, place.port), target.server_name(spec.of),
            target.tls_context(spec.of, spec.ca_file))
    except ssl.SSLCertVerificationError as error:
        return [f"the certificate of {url} is not trusted: {error.verify_message}"]
    except OSError as error:
        return [f"no TLS with {url}: {error}"]
    if left < least:
        return [f"the certificate of {url} is valid for {format_duration(left)} only, "
                f"less than {format_duration(least)}"]
    return []


def certificate_left(
    address: tuple[str, int], name: str, context: ssl.SSLContext
) -> timedelta:
    """Return for how long a server's certificate is valid, in whole seconds.

    Args:
        address: Host and port.
        name: Whose certificate it must be.
        context: Whom to trust, and what to show.

    Raises:
        ssl.SSLCertVerificationError: It is not trusted, expired, or of another name.
        OSError: No connection.
    """
    with (
        socket.create_connection(address, timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=name) as secured,
    ):
        certificate = secured.getpeercert() or {}
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    return timedelta(seconds=ends - int(time.time()))


def _authentication(spec: SecurityCheck, client: httpx.Client) -> tuple[int, list[str]]:
    problems = []
    for path in spec.demands_authentication:
        # A system may check only that a token is there.
        for headers in ({}, {"authorization": "Bearer wrong"}):
            status = client.get(path, headers=headers).status_code
            if status not in (401, 403):
                what = "with a wrong token" if headers else "without credentials"
                problems.append(f"{path} answers {status} {what}, not 401 or 403")
    return 2 * len(spec.demands_authentication), problems


def _headers(spec: SecurityCheck, client: httpx.Client) -> tuple[int, list[str]]:
    problems = []
    for path in spec.paths:
        found = client.get(path).headers
        for name, pattern in spec.headers.items():
            has = found.get(name)
            if not re.search(pattern, has or "", re.IGNORECASE):
                problems.append(
                    f"{path}: header {name} is {has!r}, which does not match {pattern!r}")
    return len(spec.paths) * len(spec.headers), problems


def _methods(spec: SecurityCheck, client: httpx.Client) -> tuple[int, list[str]]:
    problems = []
    for method in spec.refused_methods:
        for path in spec.paths:
            status = client.request(method, path).status_code
            # A redirect is an answer, too: the method was not refused.
            if status < 400:
                problems.append(f"{method} {path} is answered with {status}, not refused")
    return len(spec.refused_methods) * len(spec.paths), problems


def _broken_input(spec: SecurityCheck, client: httpx.Client) -> tuple[int, list[str]]:
    problems, tried = [], 0
    headers = {"content-type": "application/json"}
    for path in spec.bad_input:
        attempts = [("GET", path + query, b"") for query in BROKEN_QUERIES]
        attempts += [("POST", path, body) for body in BROKEN_BODIES]
        for method, target, body in attempts:
            tried += 1
            what = f"{method} {target[:60]}"
            try:
                answer = client.request(method, target, content=body or None, headers=headers)
            # One that breaks the connection is a finding; the others are tried all the same.
            except httpx.HTTPError as error:
                problems.append(f"{what} ends the connection ({type(error).__name__})")
                continue
            if answer.status_code >= 500:
                problems.append(f"{what} is answered with {answer.status_code}")
            elif STACK_TRACE.search(answer.content):
                problems.append(f"{what} shows a stack trace")
    return tried, problems
