"""A machine that is too slow for all tests runs what it can, in order, and names what it did not.

CI ends a run after 90 minutes, and a run that is ended says nothing at all. `.ci/run` says when it
began (`CHANGEOVER_CI_BEGAN`, in seconds since 1970); a test that is not begun within its minutes
since then is skipped, and the end of the output counts them. Nowhere else has a test a limit.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import PurePath
from typing import Any

import pytest

BEGAN = "CHANGEOVER_CI_BEGAN"
MINUTES, MIGRATIONS_MINUTES = 55, 64
"""Before which tests begin, and whole migrations: after them come second tries."""
TRIES_MINUTES = 87
"""When second tries have to be over."""
WHY = "no time was left for it"


def left(path: str, began: str, now: float) -> bool:
    """Whether a test may still begin.

    Args:
        path: Its file.
        began: When CI's run began, in seconds since 1970; empty: nobody is in a hurry.
        now: The present moment, in seconds since 1970.
    """
    if not began:
        return True
    minutes = MIGRATIONS_MINUTES if "migrations" in PurePath(path).parts else MINUTES
    return now < float(began) + 60 * minutes


def for_tries(began: str, now: float) -> float | None:
    """Return the seconds that are left for second tries; None without a limit.

    Args:
        began: When CI's run began, in seconds since 1970; empty: nobody is in a hurry.
        now: The present moment, in seconds since 1970.
    """
    return max(0.0, float(began) + 60 * TRIES_MINUTES - now) if began else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test for which no time is left, before anything is started for it."""
    if not left(item.nodeid.partition("::")[0], os.environ.get(BEGAN, ""), time.time()):
        pytest.skip(WHY)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was not run, so that nobody takes it for passed."""
    missed = Counter(
        report.nodeid.partition("::")[0] for report in terminalreporter.stats.get("skipped", [])
        if WHY in str(report.longrepr))
    if missed:
        terminalreporter.section(f"NOT RUN, no time was left: {sum(missed.values())} tests")
        for path, number in sorted(missed.items()):
            terminalreporter.write_line(f"{number:5}  {path}")
