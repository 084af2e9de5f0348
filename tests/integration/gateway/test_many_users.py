"""Users of browsers while shares grow, and requests of any kind: a fifth of what
`python -m benchmarks.many_users` sends, which takes minutes on a busy machine.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import many_users
from tests.support.many_users import PERCENTAGES, Ground

pytestmark = pytest.mark.integration
USERS, REQUESTS = many_users.USERS // 5, many_users.REQUESTS // 5


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One gateway; each test publishes what it needs."""
    with many_users.ground(tmp_path_factory.mktemp("many")) as found:
        yield found


def test_no_user_changes_side_back_while_shares_grow(ground: Ground) -> None:
    """By an own cookie, an issued one or a header: who has moved stays moved, from 1 to 100 %."""
    moved = many_users.grow(ground, USERS)
    assert moved[100] == USERS
    for percent in PERCENTAGES[:-1]:
        # six standard deviations: issued keys are drawn by chance
        allowed = 6 * (USERS * percent / 100 * (1 - percent / 100)) ** 0.5
        assert abs(moved[percent] - USERS * percent / 100) <= allowed, moved


def test_every_request_goes_where_explain_says(ground: Ground) -> None:
    """All kinds of keys, routes and segments, in eight states of the routing."""
    counts = many_users.agree(ground, REQUESTS)
    assert sum(counts.values()) == REQUESTS
    assert min(counts["baseline"], counts["candidate"]) > REQUESTS / 5, counts
