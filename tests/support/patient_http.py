"""Requests of tests that name no limit wait as long as a busy machine may pause a process.

httpx's own default is five seconds. A test that is about a limit names it; the product always does.
"""

from __future__ import annotations

import inspect

import httpx
import pytest

from tests.support.processes import LONGEST_PAUSE


def default_limits() -> httpx.Timeout:
    """Return the one object that all of httpx's functions and clients have as their default."""
    found = inspect.signature(httpx.get).parameters["timeout"].default
    assert isinstance(found, httpx.Timeout)
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Make the default as patient as tests are elsewhere."""
    limits = default_limits()
    for name in limits.as_dict():
        setattr(limits, name, LONGEST_PAUSE)
