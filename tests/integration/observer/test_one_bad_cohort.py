"""One bad cohort: its trigger takes it back alone, and everyone else stays."""

from __future__ import annotations

import threading
from itertools import count

import httpx
import pytest

from changeover import clock
from changeover.domain.audit import Author
from changeover.domain.routing import Change, Mode
from changeover.store import audit, firings, messages, routing
from tests.integration.observer.conftest import Start, Watched
from tests.support.processes import LONGEST_PAUSE, meanwhile, wait_for

pytestmark = [pytest.mark.integration]
COHORT = {"name": "cohort", "metric": "error_rate", "segment": "beta", "above": "40%",
          "for": "1s", "over": "3s", "min_samples": 5, "action": "rollback"}
ANYBODY = {**COHORT, "name": "anybody", "segment": None, "above": "90%"}


def asked(watched: Watched, cohort: str, key: str) -> str:
    """Return who answers a user of a cohort."""
    headers = {"x-user-id": key, "x-cohort": cohort}
    answer = httpx.get(watched.bench.url, headers=headers, timeout=LONGEST_PAUSE)
    return str(answer.json().get("served_by", answer.status_code))


def move(watched: Watched, weight: int, *segments: str) -> None:
    """Move a share of the users, and segments."""
    change = Change(mode=Mode.GRADUAL, weight=weight, segments=segments)
    state = routing.change(
        watched.store, "bench", change, Author("test", "test"), now=clock.now())
    watched.gateway.publish(watched.plan, state)


@pytest.mark.parametrize("segments", [("beta",), ()], ids=["moved", "split"])
def test_bad_cohort_is_rolled_back_alone(start: Start, segments: tuple[str, ...]) -> None:
    """Whether a stage moved it or the split decides; audit, message and firing name it, once: also
    when the observer is killed and reads again what the cohort met before."""
    watched = start(COHORT, ANYBODY)
    move(watched, 9_000, *segments)
    watched.bench.fault("cohort")
    keys = count()

    def send(done: threading.Event) -> None:
        while not done.wait(0.01):
            # others in between: Envoy ejects a system that fails several times in a row
            for cohort in ("beta", "", "", ""):
                asked(watched, cohort, f"u{next(keys)}")

    with meanwhile(send):
        wait_for(lambda: watched.state().kept == ("beta",), what="rollback of the cohort")
        wait_for(lambda: firings.all_of(watched.store, "bench"), what="firing")
        watched.kill_observer()
        watched.start_observer()
        goal = next(keys) + 300
        wait_for(lambda: next(keys) > goal, what="traffic after it")
    state = watched.state()
    assert (state.mode, state.weight, state.segments, state.epoch) == (
        Mode.GRADUAL, 9_000, (), 0)
    assert {asked(watched, "beta", f"u{number}") for number in range(20)} == {"baseline"}
    assert "candidate" in {asked(watched, "", f"u{number}") for number in range(20)}
    (firing,) = firings.all_of(watched.store, "bench")
    assert (firing.trigger, firing.did) == ("cohort", "rollback of segment:beta")
    titles = [one.title for one in messages.newest(watched.store, "bench")]
    assert "rollback of segment:beta of bench" in titles
    (event,) = [each for each in audit.events(watched.store, "bench")
                if each.kind == "rollback.partial"]
    assert event.data["scope"] == "segment:beta"
    assert event.data["reason"].startswith("trigger cohort: error_rate of candidate in segment")
