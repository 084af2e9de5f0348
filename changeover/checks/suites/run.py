"""Running a suite: checks beside each other where they may, every failure in one go."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from changeover import clock
from changeover.checks.suites.api import check_openapi
from changeover.checks.suites.claims import check_claims
from changeover.checks.suites.data import check_data_consistency, check_database
from changeover.checks.suites.http import check_http
from changeover.checks.suites.load import check_load, check_soak
from changeover.checks.suites.machine import check_flags, check_gateway, check_resource
from changeover.checks.suites.programs import check_command
from changeover.checks.suites.result import CheckResult, CheckRun, Report, unknown
from changeover.checks.suites.security import check_security
from changeover.checks.suites.target import CheckTarget
from changeover.checks.suites.traffic import check_replay
from changeover.domain.verdict import Verdict, worst
from changeover.errors import ChangeoverError, InvalidInput
from changeover.plan import suites
from changeover.plan.model import Plan
from changeover.plan.suites import AnyCheck

AT_ONCE = 4
Progress = Callable[[int, float], None]
"""Receives the number of a check and how much of it is done, 0..1."""


def checks_of(plan: Plan, suite: str) -> list[tuple[str, AnyCheck]]:
    """Return the names and checks of a suite.

    Raises:
        InvalidInput: The plan has no such suite.
    """
    try:
        checks = plan.suites[suite]
    except KeyError:
        raise InvalidInput(
            f"the plan of {plan.migration} has no suite {suite!r}",
            allowed=", ".join(plan.suites) or "none: add `suites` to the plan",
        ) from None
    return list(zip(suites.check_names(checks), checks, strict=True))


def runs_alone(check: AnyCheck) -> bool:
    """Whether nothing else may run beside a check, so that both measure what they mean to."""
    return check.alone or isinstance(check, suites.LoadCheck | suites.SoakCheck)


def run_check(
    target: CheckTarget, number: int, name: str, check: AnyCheck, *,
    report: Report = lambda _: None,
) -> CheckRun:
    """Run one check; if it cannot be run, it is inconclusive."""
    # Two clocks: the one for people may be set while the check runs.
    began, at = time.perf_counter(), clock.now()
    try:
        result = _KINDS[type(check)](check, target, report)
    except ChangeoverError as error:
        result = unknown(f"not run because {error}")
    except Exception as error:  # noqa: BLE001  one check's fault must not hide the others' results
        result = unknown(f"not run because of {type(error).__name__}: {error}")
    report(1.0)
    seconds = time.perf_counter() - began
    return CheckRun(number, name, check.kind, result, at, seconds)


def run_suite(
    target: CheckTarget, suite: str, progress: Progress = lambda _number, _share: None
) -> list[CheckRun]:
    """Run every check of a suite and return what they found, in the plan's order.

    Raises:
        InvalidInput: The plan has no such suite.
    """
    checks = list(enumerate(checks_of(target.plan, suite)))

    def one(number: int, name: str, check: AnyCheck) -> CheckRun:
        return run_check(target, number, name, check,
                         report=lambda share: progress(number, share))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        together = []
        for number, (name, check) in checks:
            if not runs_alone(check):
                together.append(pool.submit(one, number, name, check))
        done = [future.result() for future in together]
    # The others measure, and nothing may disturb what they measure.
    for number, (name, check) in checks:
        if runs_alone(check):
            done.append(one(number, name, check))
    return sorted(done, key=lambda run: run.number)


def verdict_of(runs: list[CheckRun]) -> Verdict:
    """Return the worst verdict of a suite's checks."""
    return worst(run.result.verdict for run in runs)


_KINDS: dict[type[AnyCheck], Callable[[Any, CheckTarget, Report], CheckResult]] = {
    suites.HttpCheck: lambda check, target, _: check_http(check, target),
    suites.OpenApiCheck: lambda check, target, _: check_openapi(check, target),
    suites.CommandCheck: lambda check, target, _: check_command(check, target),
    suites.ReplayCheck: check_replay,
    suites.LoadCheck: check_load,
    suites.SoakCheck: check_soak,
    suites.SecurityCheck: lambda check, target, _: check_security(check, target),
    suites.DatabaseCheck: lambda check, target, _: check_database(check, target),
    suites.DataConsistencyCheck: check_data_consistency,
    suites.ResourceCheck: lambda check, target, _: check_resource(check, target),
    suites.FlagsCheck: lambda check, target, _: check_flags(check, target),
    suites.GatewayCheck: lambda check, target, _: check_gateway(check, target),
    suites.ClaimsCheck: lambda check, target, _: check_claims(check, target),
}
