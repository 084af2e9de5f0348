"""Users must not notice a candidate that dies, answers 503 or freezes."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from changeover.domain.routing import Mode
from tests.integration.conftest import Bench, make_plan, start_bench
from tests.integration.gateway.load import CLIENTS, load
from tests.support.processes import kill, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture
def attempt_timeout() -> str:
    """What no late answer exceeds."""
    return "60s"


@pytest.fixture
def bench(attempt_timeout: str, tmp_path: Path) -> Iterator[Bench]:
    """A serving gateway with everyone at the baseline."""
    yield from start_bench(make_plan(attempt_timeout=attempt_timeout), tmp_path)


def _kill(bench: Bench) -> None:
    kill(bench.processes["candidate"])


def _freeze(bench: Bench) -> None:
    os.kill(bench.processes["candidate"].pid, signal.SIGSTOP)


def _answer_503(bench: Bench) -> None:
    bench.fault("503")


FAULTS = [pytest.param(_kill, id="killed"), pytest.param(_answer_503, id="answers-503")]


@pytest.mark.parametrize(("break_candidate", "attempt_timeout", "answers"), [
    pytest.param(_kill, "60s", 1500, id="killed"),
    pytest.param(_answer_503, "60s", 1500, id="answers-503"),
    pytest.param(_freeze, "5s", 600, id="frozen"),
])
@pytest.mark.parametrize("mode", [Mode.GRADUAL, Mode.CANDIDATE_ONLY])
def test_gets_all_succeed_when_the_candidate_breaks_under_load(
    bench: Bench, break_candidate: Callable[[Bench], None], answers: int, mode: Mode
) -> None:
    """Not one GET fails, and all that begin after the fault are answered by the baseline."""
    bench.move(mode, 5000 if mode is Mode.GRADUAL else 10_000)
    with load(bench.plan) as users:
        wait_for(lambda: users.served_by("candidate") > 200, what="answers of the candidate")
        break_candidate(bench)
        broken = time.monotonic()
        users.goes_on(answers)
    assert users.serving_since(broken) == {"baseline"}
    assert users.failed == []


@pytest.mark.parametrize("break_candidate", FAULTS)
def test_posts_never_run_twice_when_the_candidate_breaks(
    bench: Bench, break_candidate: Callable[[Bench], None]
) -> None:
    """A POST that a system has run is never sent again, whatever the user sees."""
    bench.move(Mode.GRADUAL, 5000)
    with load(bench.plan, "POST") as users:
        users.goes_on(300)
        ran_before = bench.ran("candidate")["posts"]
        break_candidate(bench)
        users.goes_on(600)
    runs = Counter([*bench.ran("baseline")["posts"], *ran_before])
    assert max(runs.values()) == 1
    answered = {item for item, status in users.items if status == 200}
    assert len(answered) > 600


def test_posts_are_not_sent_again_when_the_candidate_freezes(bench: Bench) -> None:
    """A POST waiting in a frozen candidate runs there when it thaws, and nowhere else."""
    bench.move(Mode.GRADUAL, 5000)
    with load(bench.plan, "POST") as users:
        users.goes_on(200)
        _freeze(bench)
        wait_for(lambda: bench.gateway.admin.counters("^cluster[.]candidate[.]upstream_rq_active$")
                 == {"cluster.candidate.upstream_rq_active": CLIENTS}, what="all users waiting")
        os.kill(bench.processes["candidate"].pid, signal.SIGCONT)
        users.goes_on(200)
    runs = Counter([*bench.ran("baseline")["posts"], *bench.ran("candidate")["posts"]])
    assert max(runs.values()) == 1


def test_candidate_gets_its_share_again_when_it_recovers(bench: Bench) -> None:
    """Once the candidate answers well again its users return to it, without a publish."""
    bench.move(Mode.GRADUAL, 5000)
    with load(bench.plan) as users:
        users.goes_on(200)
        bench.fault("503")
        users.goes_on(600)
        bench.fault("none")
        before = users.served_by("candidate")
        wait_for(lambda: users.served_by("candidate") > before + 100, what="the return")
    assert users.failed == []


def test_baseline_alone_carries_on_when_the_candidate_never_started(bench: Bench) -> None:
    """At 0 % nothing of the candidate's death is visible."""
    _kill(bench)
    with load(bench.plan) as users:
        users.goes_on(300)
    assert users.failed == []
    assert users.served_by("candidate") == 0
