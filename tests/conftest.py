"""The order of the suite: what takes longest begins first, so that no worker ends alone.

Files are handed to the workers whole and in this order (`--dist loadfile --no-loadscope-reorder`).
"""

from __future__ import annotations

import pytest


def _rank(item: pytest.Item) -> int:
    if item.get_closest_marker("chaos"):
        return 0
    if "/tests/flows/" in item.path.as_posix():
        return 1
    return 2 if item.get_closest_marker("integration") else 3


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests with the longest files first; among those of a rank the order stays."""
    items.sort(key=_rank)
