"""The OpenAPI check: compare the documents, then send requests to the candidate."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

from changeover.checks.openapi import documents
from changeover.checks.openapi.operations import methods
from changeover.checks.suites import hop
from changeover.checks.suites.programs import run_program
from changeover.checks.suites.result import CheckResult, judged, unknown
from changeover.checks.suites.target import CheckTarget
from changeover.errors import EnvironmentProblem
from changeover.plan.suites import OpenApiCheck
from changeover.plan.systems import SystemSpec

Json = documents.Json
_SHOWN_LINES = 15
_INSTALL = "Install it: pip install 'changeover[openapi]'"


def check_openapi(spec: OpenApiCheck, target: CheckTarget) -> CheckResult:
    """Compare both documents, then have schemathesis generate requests for the candidate.

    What cannot be decided and a run that calls nothing are inconclusive; `timeout` is for all.
    """
    ends = time.monotonic() + spec.timeout.total_seconds()
    document = _document(spec.document, target, "candidate")
    broken: list[str] = []
    undecided: list[str] = []
    if spec.baseline_document:
        baseline = _document(spec.baseline_document, target, "baseline")
        broken, undecided = _compared(baseline, document, ends - time.monotonic())
    there = methods(document)
    output, operations = "", 0
    if {*there} & {*spec.methods}:
        operations, failed, output = _fuzz(spec, target, document, ends - time.monotonic())
        broken += failed
    # A run that called nothing proved nothing.
    if not operations and not broken:
        has, asked = ", ".join(there) or "no methods", ", ".join(spec.methods)
        undecided.append(f"no operation was called: the document has {has}, and `methods` of the "
                         f"check are {asked}")
    fine = f"{operations} operations do what their document says"
    found = judged([*broken, *undecided], fine, operations=operations, output=output)
    if undecided and not broken:
        return unknown(found.reason, **found.evidence)
    return found


def _document(where: str, target: CheckTarget, side: str) -> Json:
    """Return an OpenAPI document from a path of the system or a file.

    Raises:
        InvalidInput: It cannot be read, or is no OpenAPI document.
    """
    if where.startswith("/"):
        def fetch(url: str) -> bytes:
            with target.client(side, timeout=10) as client:
                return client.get(url).raise_for_status().content

        return documents.read(target.url(side) + where, fetch=fetch)
    path = target.folder / where
    return documents.read(str(path), root=path.parent)


def _compared(baseline: Json, candidate: Json, seconds: float) -> tuple[list[str], list[str]]:
    """Compare two documents in a process that ends in time; return narrowed and undecided."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        old, new, target = folder / "old", folder / "new", folder / "findings"
        # YAML has dates, JSON has not: as text they are compared all the same.
        old.write_text(json.dumps(baseline, default=str), "utf-8")
        new.write_text(json.dumps(candidate, default=str), "utf-8")
        command = [sys.executable, "-m", "changeover.checks.openapi.compatibility",
                   str(old), str(new), str(target)]
        code, output = run_program(command, folder=folder, env={}, seconds=max(seconds, 1))
        if code is None:
            return [], [f"the documents could not be compared within {seconds:.0f} s"]
        if code or not target.exists():
            why = "; ".join(output.strip().splitlines()[-1:])
            raise EnvironmentProblem(
                f"the documents could not be compared: {why}", next_step=_INSTALL)
        found = json.loads(target.read_text("utf-8"))
    narrowed: list[str] = []
    undecided: list[str] = []
    for sentence, is_certain in found:
        (narrowed if is_certain else undecided).append(sentence)
    return narrowed, undecided


def _fuzz(
    spec: OpenApiCheck, target: CheckTarget, document: Json, seconds: float
) -> tuple[int, list[str], str]:
    """Run schemathesis; return how many operations it called, what was wrong, its output."""
    system = target.plan.systems.candidate
    if not _needs_hop(system):
        return _run(spec, document, target.url("candidate"), _named(system.own_host), seconds)
    with hop.serving(system) as way:
        count, problems, output = _run(
            spec, document, way.url, {hop.KEY_HEADER: way.key}, seconds)
    # people know the system's address, not this one
    own = target.url("candidate")
    return count, [each.replace(way.url, own) for each in problems], output.replace(way.url, own)


def _needs_hop(system: SystemSpec) -> bool:
    """Whether schemathesis cannot reach a system: it knows HTTP/1.1 and an address."""
    is_elsewhere = system.addresses is not None or bool(system.socket_path)
    return is_elsewhere or system.protocol == "http2" or system.tls is not None


def _named(host: str | None) -> dict[str, str]:
    return {} if host is None else {"Host": host}


def _run(
    spec: OpenApiCheck, document: Json, url: str, headers: dict[str, str], seconds: float
) -> tuple[int, list[str], str]:
    """Run schemathesis against an address; return as `_fuzz`."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report, served = folder / "report.xml", folder / "openapi.json"
        # The document that was compared, with what it refers to: nothing is fetched again.
        served.write_text(json.dumps(document, default=str), "utf-8")
        # in a file of this folder, which is ours: every user may see a program's arguments
        settings = "".join(f"{json.dumps(key)} = {json.dumps(headers[key])}\n" for key in headers)
        (folder / "schemathesis.toml").write_text(f"[headers]\n{settings}", "utf-8")
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", str(served),
            "--url", url, "--max-examples", str(spec.examples),
            "--report-junit-path", str(report), "--no-color",
            # Every operation's problems in one go.
            "--continue-on-failure",
            # Each run begins without examples of another.
            "--generation-database", "none",
        ]
        for method in spec.methods:
            command += ["--include-method", method]
        code, output = run_program(command, folder=folder, env={}, seconds=max(seconds, 1))
        if code is None:
            return 0, [f"not done within {spec.timeout.total_seconds():.0f} s"], output
        if not report.exists():
            why = "; ".join(output.strip().splitlines()[-2:])
            raise EnvironmentProblem(
                f"schemathesis made no report: {why}", next_step=_INSTALL)
        return (*_read_junit(report), output)


def _read_junit(report: Path) -> tuple[int, list[str]]:
    cases = ElementTree.parse(report).getroot().iter("testcase")  # noqa: S314  schemathesis wrote it
    count, problems = 0, []
    for case in cases:
        count += 1
        for kind in ("failure", "error"):
            for found in case.iter(kind):
                text = found.text or found.get("message") or kind
                lines = [line.strip() for line in text.splitlines() if line.strip()]
                shown = " ".join(lines[:_SHOWN_LINES])[:400]
                problems.append(f"{case.get('name')}: {shown}")
    return count, problems
