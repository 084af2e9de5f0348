"""Which stored samples make up a span of time, for whatever was summed up or deleted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.window import Sample
from changeover.store.covering import HOUR, MINUTE, MOST_GAPS, covering

LAST = 4 * HOUR
HOURS = st.sets(st.integers(0, 3))
MINUTES = st.sets(st.integers(0, LAST // MINUTE - 1), max_size=40)


def reading(hours: set[int], minutes: set[int], asked: list[int]):
    """Return a reader of such hours, such minutes, and a second every 20."""
    known = {
        HOUR: [HOUR * each for each in sorted(hours)],
        MINUTE: [MINUTE * each for each in sorted(minutes)],
        1: list(range(0, LAST, 20)),
    }

    def read(size: int, start: int, end: int) -> list[Sample]:
        asked.append(size)
        return [Sample("baseline", at, size) for at in known[size] if start <= at < end]

    return read


@given(HOURS, MINUTES, st.integers(0, LAST), st.integers(0, LAST))
def test_every_second_counts_once_whatever_was_summed_up(
    hours: set[int], minutes: set[int], start: int, end: int
) -> None:
    """No two samples overlap, all lie inside, and every stored second is in one of them."""
    span = range(min(start, end), max(start, end))
    found = covering(reading(hours, minutes, []), span)
    until = span.start
    for sample in found:
        assert sample.at >= until
        until = sample.at + sample.resolution
    assert until <= max(span.stop, span.start)
    for second in range(0, LAST, 20):
        if second in span:
            assert sum(each.at <= second < each.at + each.resolution for each in found) == 1


@given(HOURS, MINUTES, st.integers(0, LAST - 1))
def test_an_hour_is_never_read_again_as_its_minutes(
    hours: set[int], minutes: set[int], start: int
) -> None:
    """Where an hour lies whole in the span and was summed up, it is what counts."""
    found = covering(reading(hours, minutes, []), range(start, LAST))
    expected = [HOUR * each for each in sorted(hours) if HOUR * each >= start]
    assert [each.at for each in found if each.resolution == HOUR] == expected


def test_many_gaps_cost_few_queries() -> None:
    """Minutes of a system that is silent every other minute are not asked for one by one."""
    asked: list[int] = []
    every_other = set(range(0, LAST // MINUTE, 2))
    assert len(every_other) > MOST_GAPS
    found = covering(reading(set(), every_other, asked), range(0, LAST))
    assert len(asked) < 6
    assert len(found) == len(every_other) + 3 * len(every_other)
