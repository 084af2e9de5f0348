"""The series that a PromQL query reads, found without a parser of the whole language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.sources.selectors import Selector, selectors


@pytest.mark.parametrize(("query", "found"), [
    ("up", [("up", "")]),
    ('up{a="b", c=~"{}[5m]"}', [('up{a="b", c=~"{}[5m]"}', "")]),
    ('{__name__="up"}', [('{__name__="up"}', "")]),
    ("sum by (job, le) (rate(x:total{a='}'}[5m])) / count(y)",
     [("x:total{a='}'}", "[5m]"), ("y", "")]),
    ("sum without (a) (x) / on (job) group_left (b) y", [("x", ""), ("y", "")]),
    ("histogram_quantile(0.95, sum(rate(b_bucket[10m])) by (le))", [("b_bucket", "[10m]")]),
    ("x or vector(0) > bool 3 # y", [("x", "")]),
    ("x offset 1h + y @ 3 + z", [("z", "")]),
    ("max_over_time(x[1h:5m])", [("x", "")]),
    ("1h + 0x1f + Inf - NaN + 1e3", []),
    ("x + x + x", [("x", "")]),
    ("count_values('v', x)", [("x", "")]),
    ("", []),
])
def test_series_are_told_from_functions_labels_and_words(
    query: str, found: list[tuple[str, str]]
) -> None:
    """What is of an earlier time on purpose is left out."""
    assert [(each.text, each.range) for each in selectors(query)] == found


def test_age_is_asked_for_series_and_ranges() -> None:
    """A range may have samples where the last five minutes have none."""
    assert Selector("x").newest == "max(timestamp(x))"
    assert Selector("x").newest_in_range is None
    assert Selector("x", "[1h]").newest_in_range == (
        "max(max_over_time(timestamp(x)[1h:15s]))")


@given(st.text(st.sampled_from("ab(){}[]\"'`#,=~ 5m:@offset\n"), max_size=60))
def test_any_text_has_few_selectors_or_none(query: str) -> None:
    """What is no PromQL is refused by the server, not by us."""
    assert len(selectors(query)) <= 8
