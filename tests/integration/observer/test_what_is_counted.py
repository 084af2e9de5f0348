"""What the observer makes of requests and lines that are odd: nothing that did not happen."""

from __future__ import annotations

import httpx
import pytest

from changeover import clock
from changeover.analysis.window import Sample
from changeover.domain.routing import Mode, System
from changeover.store import gateway_seconds, messages
from tests.integration.observer.conftest import ERRORS, Start, Watched
from tests.support.processes import LONGEST_PAUSE, wait_for

pytestmark = [pytest.mark.integration]


def _asked(watched: Watched, number: int, *values: bytes) -> None:
    """Send a request whose key has these values, each with a number."""
    headers = [(b"x-user-id", b"%b%d" % (value, number)) for value in values]
    assert httpx.get(watched.bench.url, headers=headers, timeout=LONGEST_PAUSE).is_success
    watched.sent += 1


def _counted(watched: Watched) -> list[Sample]:
    """Return the samples of both systems once all requests are in them."""
    def found() -> list[Sample]:
        known = [sample for sample in gateway_seconds.recent(
            watched.store, "bench", since=clock.from_timestamp(0)) if sample.system in {*System}]
        return known if sum(one.requests for one in known) >= watched.sent else []

    known = wait_for(found, what="all requests in samples")
    assert isinstance(known, list)
    return known


def test_users_with_odd_keys_are_no_errors_of_a_candidate_that_is_well(start: Start) -> None:
    """Keys that come twice, or are not UTF-8: every request is counted, and none as failed."""
    watched = start(ERRORS)
    watched.move(Mode.GRADUAL, 5_000)
    for number in range(40):
        _asked(watched, number, b"u", b"v")
        _asked(watched, number, b"same", b"same")
        _asked(watched, number, b"caf\xe9")
    known = _counted(watched)
    assert [sample for sample in known if sample.errors] == []
    assert {sample.system for sample in known if sample.requests} == {"baseline", "candidate"}
    assert watched.state().mode is Mode.GRADUAL


def test_lines_that_cannot_be_read_are_told_and_cost_no_other(start: Start) -> None:
    """A line that was cut runs into the next one: that one is counted, and people are told."""
    watched = start(ERRORS)
    with watched.gateway.files.access_log.open("ab") as log:
        log.write(b'{"b":25,"c":"baseline","d":"via_up')
    _asked(watched, 1, b"after")
    assert sum(sample.requests for sample in _counted(watched)) == watched.sent
    found = wait_for(lambda: messages.newest(watched.store, "bench"), what="a message")
    assert [one.title for one in found] == ["requests of bench are in no metric"]
    assert found[0].body.startswith("1 lines of the gateway's access log are cut")
