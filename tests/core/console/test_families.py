"""`/metrics` has one table of families, and none of them can grow without end."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import Metric

from changeover.console.exposition.catalogue import FAMILIES
from changeover.console.exposition.family import LEFT_OUT, ONE, Bound, Family, Kind, Scrape

REASONS = Family("reasons", "Reasons that others choose.", ("reason",), Bound("reason", 3))


def series(scrape: Scrape, family: Family) -> dict[tuple[str, ...], float]:
    """Return a family's series by the values of their labels, without the migration's name."""
    found = {}
    for metric in scrape.metrics():
        if metric.name == f"changeover_{family.name}":
            for sample in metric.samples:
                labels = {**sample.labels}
                assert labels.pop("migration") == "invoices"
                found[tuple(labels.values())] = sample.value
    return found


@given(names=st.lists(st.text(), unique=True, max_size=20))
def test_what_is_beyond_the_bound_is_left_out_and_counted(names: list[str]) -> None:
    """Names that others choose fill no database; those that came first stay."""
    scrape = Scrape("invoices", (REASONS, LEFT_OUT))
    for name in names:
        scrape.add(REASONS, 1, name)
    found, most = series(scrape, REASONS), REASONS.bound.most
    assert list(found) == [(name,) for name in names[:most]]
    again = Scrape("invoices", (REASONS, LEFT_OUT))
    for name in names:
        again.add(REASONS, 1, name)
    left_out = series(again, LEFT_OUT)
    beyond = len(names) - most
    assert left_out == ({("reasons",): beyond} if beyond > 0 else {})


def test_a_value_that_nobody_knows_is_no_series() -> None:
    """0 would look like a value."""
    scrape = Scrape("invoices", (REASONS,))
    scrape.add(REASONS, None, "a")
    assert series(scrape, REASONS) == {}


def test_of_several_states_one_is_1_and_the_others_are_0() -> None:
    """A state that is over must not stay as it was."""
    scrape = Scrape("invoices", (REASONS,))
    scrape.add_state(REASONS, ("red", "green"), "green")
    assert series(scrape, REASONS) == {("red",): 0, ("green",): 1}


def test_labels_that_do_not_fit_are_refused() -> None:
    """A series with a label too few would be another series."""
    with pytest.raises(ValueError, match="has the labels"):
        Scrape("invoices", (REASONS,)).add(REASONS, 1)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda each: each.name)
def test_each_family_is_named_and_bounded_as_prometheus_asks(family: Family) -> None:
    """Base units at the end, no percent, no milliseconds; one series has no label."""
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", family.name)
    assert not re.search(r"percent|milli|_ms\b|_total|_count$|_sum$|_bucket$", family.name)
    assert family.text[0].isupper() or family.text[0].isdigit()
    assert family.text.endswith(".")
    assert 0 < family.bound.most <= 1000
    assert len(set(family.labels)) == len(family.labels)
    assert "migration" not in family.labels and "le" not in family.labels
    if family.kind is Kind.HISTOGRAM:
        assert family.name.endswith("_seconds")
    if not family.labels:
        assert family.bound is ONE


def test_no_name_stands_twice() -> None:
    """One obvious place for each."""
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)


def test_all_of_them_together_are_bounded() -> None:
    """What one console can show at most is a number, whatever people and systems send."""
    assert sum(family.bound.most for family in FAMILIES) < 10_000


def test_families_without_series_are_shown_all_the_same() -> None:
    """So a dashboard can be drawn before the first cutover."""
    shown: list[Metric] = list(Scrape("invoices", FAMILIES).metrics())
    assert [each.name for each in shown] == [f"changeover_{each.name}" for each in FAMILIES]
