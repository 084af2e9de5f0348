"""Checks that other programs carry out: any command, and schemathesis for OpenAPI."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import yaml

from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.plan.suites import CommandCheck, OpenApiCheck
from changeover.validation.compatibility import incompatibilities
from changeover.validation.outcome import Outcome, Scene, judged

LONGEST_OUTPUT = 20_000
_SHOWN_LINES = 15


def check_command(spec: CommandCheck, scene: Scene) -> Outcome:
    """Run a command and judge its exit code; its output is kept, cut in the middle."""
    program, *arguments = spec.command
    folder = scene.folder / spec.directory if spec.directory else scene.folder
    code, output = run_program(
        [sys.executable if program == "python" else program, *arguments], folder=folder,
        env=spec.env, seconds=spec.timeout.total_seconds(),
    )
    shown = " ".join(spec.command)[:200]
    if code is None:
        return judged([f"`{shown}` did not end within {spec.timeout.total_seconds():.0f} s"], "",
                      output=output)
    allowed = ", ".join(map(str, spec.exit_codes))
    last = output.strip().splitlines()[-1:] or [""]
    problem = [] if code in spec.exit_codes else [
        f"`{shown}` ended with {code}, not {allowed}: {last[0][:300]}"]
    return judged(problem, f"`{shown}` ended with {code}: {last[0][:300]}", exit_code=code,
                  output=output)


def run_program(
    command: list[str], *, folder: Path, env: dict[str, str], seconds: float
) -> tuple[int | None, str]:
    """Run a program in a process group of its own; return exit code (None: too long), output.

    Raises:
        EnvironmentProblem: The program or the folder is not there.
    """
    try:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **env}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
    except OSError as error:
        raise EnvironmentProblem(
            f"{command[0]} cannot be started: {error.strerror}", where=str(folder),
            next_step="Install it, or mend the check's command or directory",
        ) from error
    try:
        output, _ = process.communicate(timeout=seconds)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with everything that it started
        output, _ = process.communicate()
        code = None
    return code, _cut(output.decode("utf-8", "replace"))


def _cut(text: str) -> str:
    if len(text) <= LONGEST_OUTPUT:
        return text
    half = LONGEST_OUTPUT // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def check_openapi(spec: OpenApiCheck, scene: Scene) -> Outcome:
    """Compare both documents, then have schemathesis make up requests for the candidate."""
    document = _document(spec.document, scene, "candidate")
    problems: list[str] = []
    if spec.baseline_document:
        problems = incompatibilities(_document(spec.baseline_document, scene, "baseline"), document)
    operations, broken, output = _fuzz(spec, scene)
    return judged(
        [*problems, *broken], f"{operations} operations keep what their document promises",
        operations=operations, output=output,
    )


def _document(where: str, scene: Scene, side: str) -> dict[str, Any]:
    """Return an OpenAPI document from a path of the system or a file.

    Raises:
        InvalidInput: It cannot be had, or is no OpenAPI document.
    """
    source = where
    try:
        if where.startswith("/"):
            source = scene.url(side) + where
            text = httpx.get(source, timeout=10, trust_env=False).raise_for_status().text
        else:
            text = (scene.folder / where).read_text()
        found = yaml.safe_load(text)  # JSON is YAML
    except (httpx.HTTPError, OSError, yaml.YAMLError) as error:
        raise InvalidInput(f"no OpenAPI document: {type(error).__name__}", where=source) from error
    if not isinstance(found, dict) or "paths" not in found:
        raise InvalidInput("is no OpenAPI document: it has no paths", where=source)
    return found


def _fuzz(spec: OpenApiCheck, scene: Scene) -> tuple[int, list[str], str]:
    """Run schemathesis; return how many operations it called, what was wrong, its output."""
    base = scene.url("candidate")
    target = base + spec.document if spec.document.startswith("/") \
        else str(scene.folder / spec.document)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        methods = [part for method in spec.methods for part in ("--include-method", method)]
        code, output = run_program(
            [sys.executable, "-m", "schemathesis.cli", "run", target, "--url", base,
             "--max-examples", str(spec.examples), "--no-color", "--report-junit-path",
             str(report), "--continue-on-failure", "--generation-database", "none", *methods],
            folder=Path(folder), env={}, seconds=spec.timeout.total_seconds(),
        )
        if code is None:
            return 0, [f"not done within {spec.timeout.total_seconds():.0f} s"], output
        if not report.exists():
            raise EnvironmentProblem(
                "schemathesis made no report: " + "; ".join(output.strip().splitlines()[-2:]),
                next_step="Install it: pip install 'changeover[openapi]'",
            )
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
                problems.append(f"{case.get('name')}: {' '.join(lines[:_SHOWN_LINES])[:400]}")
    return count, problems
