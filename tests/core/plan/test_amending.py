"""What may be changed in the plan of a running cutover, and how the changes are told."""

from __future__ import annotations

import pytest

from changeover.plan.amending import changes, refusals
from changeover.plan.load import parse_plan
from tests.core.plan.test_load import GOOD

ENTERED = ["beta-5", "gradual-10"]


def amended(*replaced: tuple[str, str]) -> tuple[list[str], list[str]]:
    """Return (refusals, changes) of a plan in which texts were replaced."""
    text = GOOD
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    old, new = parse_plan(GOOD, "old"), parse_plan(text, "new")
    return refusals(old, new, ENTERED), changes(old, new)


@pytest.mark.parametrize(("old", "new", "told"), [
    ("below: 1%", "below: 2%", "gates.slo[error_rate].below: 1% → 2%"),
    ("for: 5s", "for: 9s", "triggers[down].for: 5s → 9s"),
    ("{percent: 50, soak: 1h}", "{percent: 50, soak: 2h}",
     "phases[gradual].stages[50%].soak: 1h → 2h"),
    ("{percent: 50, soak: 1h}", "{percent: 30, soak: 1h}, {percent: 50, soak: 1h}",
     "phases[gradual].stages[30%]: new, percent 30%, soak 1h"),
    ("approvers: 2", "approvers: 1", "phases[full].approval.approvers: 2 → 1"),
    (", {percent: 50, soak: 1h}", "", "phases[gradual].stages[50%]: removed"),
])
def test_what_lies_ahead_and_how_it_is_watched_can_be_changed(
    old: str, new: str, told: str
) -> None:
    """Bounds, triggers, later stages, approvals: each change is told with both values."""
    refused, changed = amended((old, new))
    assert refused == []
    assert len(changed) == 1
    assert told in changed[0] or changed[0].startswith(told)


@pytest.mark.parametrize(("old", "new", "why"), [
    ("http://127.0.0.1:2", "http://127.0.0.1:9", "systems cannot be changed"),
    ("listen: 127.0.0.1:3", "listen: 127.0.0.1:4", "routing cannot be changed"),
    ("any_of: [beta]", "any_of: [alpha]", "routing cannot be changed"),
    ("{percent: 10, soak: 1h}", "{percent: 12, soak: 1h}", "stage gradual-10 cannot be removed"),
    ("{percent: 10, soak: 1h}", "{percent: 10, soak: 3h}", "`changeover extend`"),
    ("segments: [beta], soak", "segments: [], soak", "segments of stage beta-5"),
    ("{percent: 10, soak: 1h}", "{percent: 7, soak: 1h}, {percent: 10, soak: 1h}",
     "stage gradual-7 cannot be added before stage gradual-10"),
    ("migration: shop\n", "migration: shop\nlevers: {off: {of: baseline, post: /off}}\n",
     "levers cannot be changed"),
])
def test_what_moved_users_would_notice_is_refused_with_the_reason(
    old: str, new: str, why: str
) -> None:
    """Systems, keys, stages that were entered, what was prepared."""
    refused, _ = amended((old, new))
    assert any(why in each for each in refused), refused


def test_the_same_plan_changes_nothing() -> None:
    """Whatever its form."""
    assert amended(("for: 5s", "for: 5000ms")) == ([], [])
