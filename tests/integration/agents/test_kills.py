"""Processes of the agents' migration die with SIGKILL in the middle: no issue is done twice."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from changeover.domain.routing import Mode
from changeover.store import claims
from examples.agents.issues import event
from tests.integration.agents.conftest import Example, begun
from tests.support.processes import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.chaos]

ISSUES = 24
LATER = (502, 503)


@pytest.fixture
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    """Everything running, with a lease that is over soon after its holder died."""
    with ExitStack() as stack:
        yield begun(stack, tmp_path_factory.mktemp("agents"), claims={"lease": "2s"})


def _until_done(example: Example, number: int) -> str:
    """Deliver an issue again and again, as people at GitHub do, until it is done."""
    def done() -> str | None:
        answer = example.send(event(number))
        if answer.status_code in LATER:
            return None
        document = answer.raise_for_status().json()
        return str(document["status"])

    return str(wait_for(done, seconds=30, what=f"issue {number}"))


@pytest.mark.parametrize("victim", ["candidate", "baseline", "receiver"])
def test_no_issue_is_done_twice_whoever_is_killed(example: Example, victim: str) -> None:
    """While two dozen issues are worked on, one process is killed and comes back: each issue is
    resolved once, on one branch, and its claim is done."""
    example.console.move(Mode.GRADUAL, 5000)
    with ThreadPoolExecutor(6) as pool:
        done = pool.map(lambda number: _until_done(example, number), range(1, ISSUES + 1))
        wait_for(lambda: len(_all(example)) >= 4, what="work under way")
        example.kill(victim)
        example.start(victim)
        assert Counter(done).keys() <= {"done", "not done"}
    branches = _branches(example)
    for number in range(1, ISSUES + 1):
        item = f"acme:parcels:{number}"
        (found,) = example.resolutions(item)
        claim = claims.one(example.console.store, "agents", item)
        assert claim is not None and claim.status.value == "done"
        # who died after handing in left its work to the next holder
        assert found["token"] <= claim.token
        assert branches[item.replace(":", "-")] == (found["build_success"] is not None)


def _all(example: Example) -> list[object]:
    found: list[object] = httpx.get(f"{example.address('tracker')}/resolutions").json()
    return found


def _branches(example: Example) -> Counter[str]:
    """Return how many branches the repository has for each issue."""
    listed = subprocess.run(
        ["git", "ls-remote", "--heads", f"{example.address('tracker')}/project.git"],
        capture_output=True, text=True, check=True).stdout
    names = [line.rpartition("refs/heads/")[2] for line in listed.splitlines()]
    return Counter(name.rpartition("-")[0] for name in names)
