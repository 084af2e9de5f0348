"""Windows of recent seconds: added up in blocks, and the same as added up second by second."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Measurements, Sample
from changeover.observer.recent import Recent, Span
from changeover.plan.metrics import Source

START = 1_000
SECONDS = st.lists(st.tuples(st.integers(START, START + 200), st.integers(1, 9)), max_size=120)
"""(second, requests): some come again later, with other numbers."""
METRICS = {"error_rate": False, "request_rate": False, "latency_p95": True, "empty_rate": False}


def second(at: int, requests: int) -> Sample:
    """Return a second whose numbers follow from its requests."""
    of_beta = Measurements(requests=1, errors={"timeout": requests % 2})
    return Sample("candidate", at, requests=requests, answers=requests, empty_answers=1, watched=1,
                  errors={"timeout": requests // 2}, latency=Histogram({600 + requests: requests}),
                  users={"answer": (requests,)}, subsets={"segment:beta": of_beta}, probes=1)


def differences(recent: Recent, span: Span, at: int) -> list[str]:
    """Return the metrics of a window for which blocks and seconds say different things."""
    found = []
    for name, is_timed in METRICS.items():
        by_blocks = replace(span, source=Source.TRAFFIC, is_timed=is_timed)
        if recent.window(by_blocks, at).measure(name) != recent.window(span, at).measure(name):
            found.append(name)
    return found


@given(SECONDS, st.integers(1, 180), st.integers(START, START + 100), st.booleans())
def test_blocks_say_what_seconds_say(
    rows: list[tuple[int, int]], length: int, since: int, has_segment: bool
) -> None:
    """However long the window is, wherever it begins, and however late a second comes."""
    recent = Recent()
    recent.since = since
    span = Span("candidate", length, "beta" if has_segment else None)
    for number, (at, requests) in enumerate(rows):
        recent.feed([second(at, requests)])
        if number % 7 == 0:  # blocks are made, and made anew when a late second comes
            assert differences(recent, span, START + 200) == []
    assert differences(recent, span, START + 200) == []


@given(SECONDS, st.integers(START, START + 200))
def test_blocks_forget_what_seconds_forget(rows: list[tuple[int, int]], at: int) -> None:
    """Old seconds, and those of a clock that was set back."""
    recent = Recent()
    recent.feed(second(*row) for row in rows)
    span = Span("candidate", 180)
    assert differences(recent, span, START + 200) == []
    recent.set_back(at)
    assert differences(recent, span, START + 200) == []
    recent.forget(at - 50)
    assert differences(recent, span, START + 200) == []


def test_what_the_gateway_refused_is_added_up_as_well() -> None:
    """It is of no system."""
    recent = Recent()
    recent.feed(Sample("gateway", at, requests=10, errors={"too_large": 1})
                for at in range(START, START + 100))
    window = recent.window(Span("candidate", 90, source=Source.GATEWAY), START + 99)
    assert window.measure("refused_rate").value == 0.1
    assert window.measure("refused_rate").samples == 900
