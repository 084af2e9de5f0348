"""A candidate with a concurrency limit: what is above it gets the baseline's answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from changeover.domain.routing import Mode
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.gateway.load import load
from tests.support.processes import LONGEST_PAUSE, kill, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Bench]:
    """Everyone at a candidate that takes one request at a time."""
    plan = make_plan()
    candidate = plan.systems.candidate.model_copy(update={"concurrency": 1})
    systems = plan.systems.model_copy(update={"candidate": candidate})
    for bench in start_bench(plan.model_copy(update={"systems": systems}), tmp_path):
        bench.move(Mode.CANDIDATE_ONLY, 10_000)
        yield bench


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_above_the_limit_are_answered_by_the_baseline(
    limited: Bench, method: str
) -> None:
    """Not one of six users at once gets an error, and the candidate never has two requests."""
    limited.fault("slow")
    with load(limited.plan, method) as users:
        wait_for(lambda: users.served_by("candidate") > 3 and users.served_by("baseline") > 100,
                 what="answers of both")
    assert users.failed == []
    assert limited.ran("candidate")["most"] == 1
    runs = Counter([*limited.ran("baseline")["posts"], *limited.ran("candidate")["posts"]])
    assert not runs or max(runs.values()) == 1


def test_a_full_candidate_is_not_ejected(limited: Bench) -> None:
    """Overflow is no failure: as soon as it has room the candidate answers again."""
    limited.fault("slow")
    with load(limited.plan) as users:
        users.goes_on(300)
    counters = limited.gateway.admin.counters("^cluster[.]candidate[.]outlier_detection.*")
    assert counters["cluster.candidate.outlier_detection.ejections_enforced_total"] == 0
    limited.fault("none")
    assert httpx.get(limited.url, timeout=LONGEST_PAUSE).json()["served_by"] == "candidate"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_dead_limited_candidate_costs_no_request(limited: Bench, method: str) -> None:
    """What could not be sent is sent to the baseline, whatever its method."""
    kill(limited.processes["candidate"])
    with load(limited.plan, method) as users:
        users.goes_on(300)
    assert users.failed == []
    assert users.served_by("baseline") == len(users.answers)


def test_the_candidate_cannot_say_that_nothing_was_sent(limited: Bench) -> None:
    """A POST that it ran and answered 503 with our header is not run a second time."""
    limited.fault("liar")
    answer = httpx.post(limited.url, headers={"x-item": "once"}, timeout=LONGEST_PAUSE)
    assert answer.status_code == 503
    assert "x-changeover-not-sent" not in answer.headers
    assert limited.ran("candidate")["posts"] == ["once"]
    assert limited.ran("baseline")["posts"] == []


def test_the_second_hop_is_not_seen(limited: Bench) -> None:
    """The candidate sees the request as without a limit: address, scheme, id; users too."""
    answers = []
    for mode in (Mode.CANDIDATE_ONLY, Mode.BASELINE_ONLY):
        limited.move(mode, 10_000)
        answers.append(httpx.get(
            limited.url, headers={"x-request-id": "mine"}, timeout=LONGEST_PAUSE))
    by_candidate, by_baseline = (answer.json() for answer in answers)
    assert by_candidate["served_by"] == "candidate"
    assert by_candidate["headers"] == by_baseline["headers"]
    assert set(answers[0].headers) == set(answers[1].headers)
