"""A check that runs another program: any command. The OpenAPI check is in `api`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from changeover.checks.suites.result import CheckResult, judged
from changeover.checks.suites.target import CheckTarget
from changeover.errors import EnvironmentProblem
from changeover.plan.suites import CommandCheck

LONGEST_OUTPUT = 20_000


def check_command(spec: CommandCheck, target: CheckTarget) -> CheckResult:
    """Run a command and judge its exit code; its output is saved, cut in the middle."""
    program, *arguments = spec.command
    folder = target.folder / spec.directory if spec.directory else target.folder
    seconds = spec.timeout.total_seconds()
    # Not every machine calls Python 3 `python`, and the plan's must be the one that runs us.
    if program == "python":
        program = sys.executable
    code, output = run_program(
        [program, *arguments], folder=folder, env=spec.env, seconds=seconds)
    shown = " ".join(spec.command)[:200]
    if code is None:
        return judged([f"`{shown}` did not end within {seconds:.0f} s"], "", output=output)
    allowed = ", ".join(map(str, spec.exit_codes))
    lines = output.strip().splitlines() or [""]
    last = lines[-1][:300]
    problems = []
    if code not in spec.exit_codes:
        problems.append(f"`{shown}` ended with {code}, not {allowed}: {last}")
    fine = f"`{shown}` ended with {code}: {last}"
    return judged(problems, fine, exit_code=code, output=output)


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
            # With everything that it started.
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        code = None
    return code, _cut(output.decode("utf-8", "replace"))


def _cut(text: str) -> str:
    if len(text) <= LONGEST_OUTPUT:
        return text
    # Its beginning says what ran, its end why it stopped.
    half = LONGEST_OUTPUT // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"
