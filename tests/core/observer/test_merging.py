"""Whatever comes in whichever order, a second's sum is that of its gateways' newest rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Sample
from changeover.observer.merging import Merging
from changeover.store.samples import sum_of

AT = 1_000
GATEWAYS = ["main", "edge-1", "edge-2", "edge-3"]


def sample(gateway: str, at: int = AT, requests: int = 1, **more: Any) -> Sample:
    return Sample("candidate", at, gateway=gateway, requests=requests, watched=1, listened=0,
                  **more)


def plain_sum(rows: dict[tuple[int, str], Sample], at: int) -> Sample:
    """Return the sum of a second, made at once of all that there is."""
    parts = [row for (second, _), row in sorted(rows.items()) if second == at]
    return sum_of("candidate", "main", range(at, at + 1), parts)


def contents(found: Sample) -> Sample:
    """Return a sum as it is compared: decimals are added in another order."""
    return replace(found, answer_logs=round(found.answer_logs, 6))


@st.composite
def sent(draw: st.DrawFn) -> Sample:
    """A row that some gateway sends, perhaps once more."""
    number = draw(st.integers(0, 30))
    return sample(
        draw(st.sampled_from(GATEWAYS)), AT + draw(st.integers(0, 3)), number,
        errors={"reset": number % 3}, latency=Histogram.of([1000 * number + 1]),
        users={"answer": tuple(range(number, number + 3))}, answer_logs=number / 7)


STEPS = st.lists(st.one_of(
    sent(), st.lists(sent(), max_size=6), st.sampled_from(["judge", "compact"])), max_size=40)


@given(STEPS)
def test_sums_are_those_of_the_newest_rows_however_they_came(steps: list[Any]) -> None:
    """Rows in any order and any number of times, seconds whose rows were dropped among them."""
    merging = Merging()
    stored: dict[tuple[int, str], Sample] = {}
    judged: dict[int, Sample] = {}

    def judge() -> None:
        for system, at in merging.stale:
            merging.replace((system, at), [
                row for (second, _), row in stored.items() if second == at])
        judged.update({each.at: each for each in merging.pop_changed()})

    for step in steps:
        if step == "judge":
            judge()
        elif step == "compact":
            merging.forget(0, rows=AT + 2)
        else:
            rows = [step] if isinstance(step, Sample) else step
            # the store has it before anybody reads it
            stored |= {(row.at, row.gateway): row for row in rows}
            merging.add(rows)
    judge()
    for at in {second for second, _ in stored}:
        assert contents(judged[at]) == contents(plain_sum(stored, at))


def test_a_late_row_of_another_gateway_is_added_to_a_second_whose_rows_were_dropped() -> None:
    """A node that was cut off; nothing is read again for it."""
    merging = Merging()
    merging.add([sample("edge-1", requests=5), sample("main", requests=1)])
    merging.pop_changed()
    merging.forget(0, rows=AT + 1)
    merging.add([sample("edge-2", requests=7)])
    assert [each.requests for each in merging.pop_changed()] == [13]
    assert merging.stale == []


def test_a_row_that_changed_after_its_second_was_summed_has_it_read_anew() -> None:
    """It cannot be taken out of a sum again; nobody judges the sum of before meanwhile."""
    merging = Merging()
    merging.add([sample("edge-1", requests=5), sample("edge-2", requests=7)])
    merging.pop_changed()
    merging.forget(0, rows=AT + 1)
    merging.add([sample("edge-1", requests=6)])
    assert merging.stale == [("candidate", AT)]
    assert merging.pop_changed() == []
    merging.replace(("candidate", AT), [
        sample("edge-1", requests=6), sample("edge-2", requests=7)])
    assert [each.requests for each in merging.pop_changed()] == [13]


def test_what_this_machine_measured_is_newer_than_its_row_in_the_store() -> None:
    """Its newest second is not stored yet when the others' are read."""
    merging = Merging()
    merging.whole_from = AT + 1
    merging.add([sample("main", requests=4)])
    merging.replace(("candidate", AT), [
        sample("main", requests=3), sample("edge-1", requests=10)])
    assert [each.requests for each in merging.pop_changed()] == [14]


def test_a_second_of_before_the_start_is_read_whole_when_it_changes() -> None:
    """Most of its rows are in the store only."""
    merging = Merging()
    merging.whole_from = AT + 1
    merging.add([sample("edge-1", requests=2)])
    assert merging.pop_changed() == [] and merging.stale == [("candidate", AT)]
    merging.replace(("candidate", AT), [])
    assert merging.pop_changed() == [] and merging.stale == []


def test_a_spares_own_rows_are_known_from_its_memory() -> None:
    """Its probes, under its own name."""
    merging = Merging("spare-1")
    merging.add([sample("spare-1", requests=0, probes=1), sample("edge-1", requests=2)])
    merging.forget(0, rows=AT + 1)
    merging.pop_changed()
    merging.add([sample("spare-1", requests=0, probes=2)])
    found, = merging.pop_changed()
    assert (found.requests, found.probes, found.gateway) == (2, 2, "main")


def test_old_seconds_of_this_machine_are_added_to_what_others_had_by_then() -> None:
    """Read from its log after an outage; others' rows of them are in the store."""
    merging = Merging()
    merging.whole_from = AT
    assert merging.know([sample("edge-1", requests=5), sample("edge-2", requests=7)])
    assert not merging.know([sample("main", AT + 1, requests=2)])
    assert merging.pop_changed() == []
    merging.add([sample("main", requests=4), sample("main", AT + 1, requests=3)])
    assert [each.requests for each in merging.pop_changed()] == [16, 3]
    assert merging.stale == []


def test_a_row_of_a_known_second_that_changes_has_it_read_anew() -> None:
    """A node that was away brings more of what it had sent."""
    merging = Merging()
    merging.know([sample("edge-1", requests=5)])
    merging.add([sample("edge-2", requests=7)])
    assert [each.requests for each in merging.pop_changed()] == [12]
    merging.add([sample("edge-1", requests=6)])
    assert merging.stale == [("candidate", AT)]


def test_what_this_machine_still_counts_of_a_forgotten_second_has_it_read_anew() -> None:
    """Its own requests alone would replace the fleet's."""
    merging = Merging()
    merging.add([sample("edge-1", requests=5), sample("main", requests=4)])
    merging.pop_changed()
    merging.forget(AT + 1)
    merging.add([sample("main", requests=6)])
    assert merging.pop_changed() == [] and merging.stale == [("candidate", AT)]
    merging.forget(AT + 1, unread=AT)
    merging.replace(("candidate", AT), [
        sample("edge-1", requests=5), sample("main", requests=4)])
    assert [each.requests for each in merging.pop_changed()] == [11]


def test_what_is_older_than_triggers_look_back_is_not_read_anew() -> None:
    """However much of it there is."""
    merging = Merging()
    merging.add([sample("edge-1")])
    merging.forget(AT + 1)
    merging.add([sample("main")])
    merging.forget(AT + 10, unread=AT + 1)
    assert merging.stale == []


def test_without_other_gateways_nothing_is_read_anew() -> None:
    """One machine needs no store for what its triggers see."""
    merging = Merging()
    merging.add([sample("main", requests=4)])
    merging.forget(AT + 1)
    merging.add([sample("main", requests=5)])
    assert [each.requests for each in merging.pop_changed()] == [5]


def test_seconds_that_come_again_after_a_clock_was_set_back_are_new_ones() -> None:
    """They are not waited for until the store has them."""
    merging = Merging()
    merging.add([sample("edge-1")])
    merging.forget(AT + 1)
    merging.set_back(AT - 100)
    merging.add([sample("main", AT - 50, requests=3)])
    assert [each.requests for each in merging.pop_changed()] == [3]
