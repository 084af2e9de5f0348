"""From audit events to timeline, marks and traffic share."""

from __future__ import annotations

import pytest

from reports import timeline
from tests.core.reports.hand_made import AT, NASTY, TITLES, after, event, events


def test_timeline_tells_decisions_with_who_and_why() -> None:
    """An answer shows the stage, the decision, the person, the comment and where it came from."""
    moments = timeline.moments(events(), TITLES, start=AT, end=after(60))
    answer = next(m for m in moments if m.kind == "approval.answered")
    assert (answer.title, answer.actor, answer.tone) == ("beta 5 %: promote", "Ana Lima", "good")
    assert answer.detail == "looks fine; answered through prefect"


def test_timeline_merges_equal_looks_in_a_row() -> None:
    """A gate that was inconclusive for hours is one line with a count."""
    evaluations = [
        event("gate.judged", n, n, stage="beta-5", gate="slo", verdict="inconclusive")
        for n in range(1, 40)
    ]
    moments = timeline.moments(evaluations, TITLES, start=AT, end=after(60))
    assert [(m.count, m.title) for m in moments] == [(39, "gate slo of beta 5 %: inconclusive")]


def test_timeline_shows_what_it_does_not_know() -> None:
    """An event of a later version is shown by its kind, and missing facts as question marks."""
    unknown = event("comparison.paused", 1, 1, reason=NASTY)
    bare = event("trigger.fired", 2, 2)
    first, second = timeline.moments([unknown, bare], TITLES, start=AT, end=after(60))
    assert first.title == "comparison paused"
    assert "\n" not in first.detail
    assert second.title == "trigger ? fired: ?"


@pytest.mark.parametrize(
    ("facts", "tone"),
    [(("gate.judged", "verdict", "fail"), "bad"), (("gate.judged", "verdict", "pass"), "good"),
     (("trigger.fired", "action", "hold"), "warn"), (("lever.pulled", "problem", "no"), "warn"),
     (("approval.answered", "decision", "rollback"), "bad")],
)
def test_timeline_tone_follows_the_decision(facts: tuple[str, str, str], tone: str) -> None:
    """Good and bad news evaluation different."""
    kind, name, value = facts
    (moment,) = timeline.moments([event(kind, 1, **{name: value})], {}, start=AT, end=after(9))
    assert moment.tone == tone


def test_weights_begin_with_what_held_before() -> None:
    """The share at the start is the last one decided before it."""
    changes = [event("routing.changed", -9, weight=2500), event("routing.changed", 5, weight=0),
               event("routing.changed", 99, weight=10_000)]
    steps = timeline.weights(changes, start=AT, end=after(60))
    assert [(step.at, step.weight) for step in steps] == [(AT, 2500), (after(5), 0)]


def test_weights_of_a_new_migration_begin_at_zero() -> None:
    """Without any decision everyone is at the baseline."""
    assert [s.weight for s in timeline.weights([], start=AT, end=after(1))] == [0]


def test_marks_are_the_decisions() -> None:
    """Promotion, hold, rollback and trigger become labelled marks, other events none."""
    held = event("stage.held", 30, 9, stage="beta-5", round=2)
    marks = timeline.marks([*events(), held], TITLES, start=AT, end=after(60))
    assert [(mark.kind, mark.label) for mark in marks] == [
        ("promotion", "→ beta 5 %"), ("promotion", "→ 50 %"), ("trigger", "trigger errors"),
        ("rollback", "rollback"), ("hold", "hold"),
    ]
