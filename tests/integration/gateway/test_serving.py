"""Whether the gateway serves a routing state: one question, and one text for each answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from changeover import clock
from changeover.domain.routing import Mode
from changeover.gateway.protocol import Answer, Serving
from tests.integration.conftest import Bench
from tests.support.processes import kill, wait_for

pytestmark = pytest.mark.integration


def serving(bench: Bench, answer: Answer) -> Serving:
    """Ask about the present state until the answer is the expected one."""
    return wait_for(
        lambda: next((seen for seen in [bench.gateway.serving(bench.state)]
                      if seen.answer is answer), None), what=answer)


def test_answer_follows_what_the_gateway_does(bench: Bench) -> None:
    """The present version, another one, break glass, and an Envoy that is gone."""
    bench.move(Mode.GRADUAL, 2_500)
    seen = serving(bench, Answer.SERVES)
    assert (seen.text, seen.is_current) == ("serves gradual 25 % (version 2, epoch 0)", True)
    bench.state = replace(bench.state, version=3)  # the store is ahead
    seen = serving(bench, Answer.DRIFTED)
    assert seen.text == "serves version 0.2, the routing state is version 0.3"
    assert not seen.is_current
    bench.gateway.break_glass(reason="it burns", actor="ann", now=clock.now())
    seen = serving(bench, Answer.GLASS_IS_BROKEN)
    assert "break-glass rollback by ann" in seen.text and not seen.is_current
    kill(bench.processes["envoy"])
    seen = serving(bench, Answer.SILENT)
    assert seen.text.startswith("does not answer") and "by ann" in seen.text
    assert not seen.is_current


def test_back_pressure_is_no_drift(bench: Bench) -> None:
    """The state is served, but the candidate gets nothing; without a reason that is wrong."""
    bench.move(Mode.GRADUAL, 2_500)
    withheld = {"withheld": True, "reason": "slower than 200 ms"}
    withhold = bench.gateway.withhold
    wait_for(lambda: withhold(bench.plan, bench.state, withheld), what="withheld routes")
    seen = serving(bench, Answer.WITHHOLDS)
    assert "slower than 200 ms" in seen.text and seen.is_current
    bench.gateway.files.back_pressure.unlink()
    seen = serving(bench, Answer.UNLIKE_BACK_PRESSURE)
    assert "unlike back-pressure wants" in seen.text and seen.is_current
