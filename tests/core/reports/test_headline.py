"""The first sentence: what happened, why, who decided."""

from __future__ import annotations

from dataclasses import replace

from changeover.domain.rollout import CutoverStatus
from reports.headline import Story, headline
from reports.model import StageStanding
from tests.core.reports.hand_made import (
    AT,
    NAMES,
    after,
    approval,
    cutover,
    firing,
    rollback,
    stage,
)

PROMOTED = Story(
    cutover(CutoverStatus.PROMOTED, outcome="all stages passed."), [stage()], [], [], NAMES,
    "candidate_only", after(90),
)


def test_headline_of_a_promotion_names_the_system_and_the_people() -> None:
    """Promoted: where all users are, why, who agreed, how long it took."""
    found = headline(PROMOTED)
    assert found.sentence == "All users are on new-parser: all stages passed."
    assert (found.word, found.decided_by, found.seconds) == ("Promoted", ("Ana Lima",), 60)


def test_headline_of_a_rollback_names_stage_reason_and_trigger() -> None:
    """Rolled back: from where, why with numbers, and the trigger before the service."""
    story = replace(PROMOTED, cutover=cutover(), rollbacks=[rollback()], firings=[firing()])
    found = headline(story)
    assert found.sentence == (
        "All users were sent back to old-parser from beta 5 %: "
        "error_rate 12.400 % is above 2.000 %."
    )
    assert found.decided_by == ("trigger errors", "observer")


def test_headline_of_a_failed_gate_without_rollback_record_uses_the_stage() -> None:
    """When the rollback's own record is missing, the stage's reason is told."""
    failed = stage(status=StageStanding.ROLLED_BACK, reason="the gate failed")
    found = headline(replace(PROMOTED, cutover=cutover(), stages=[failed]))
    assert "the gate failed" in found.sentence


def test_headline_of_a_promotion_undone_later_says_both() -> None:
    """A report never says promoted while everyone is back at the baseline."""
    late = rollback(cutover_id=None, started_at=after(900), ended_at=after(905))
    found = headline(replace(PROMOTED, rollbacks=[late]))
    assert found.status == "rolled_back"
    assert found.sentence.startswith("Promoted 2026-03-02 09:01:00 UTC and rolled back later. ")


def test_headline_ignores_void_answers() -> None:
    """Who answered after a rollback did not decide anything."""
    void = stage(approvals=(approval(is_void=True),))
    assert headline(replace(PROMOTED, stages=[void])).decided_by == ()


def test_headline_while_soaking_says_until_when() -> None:
    """Running: which stage, until when, how long from now."""
    soaking = stage(status=StageStanding.SOAKING, soak_until=after(120))
    story = replace(PROMOTED, cutover=cutover(CutoverStatus.RUNNING), stages=[soaking])
    assert headline(story).sentence == (
        "Beta 5 % soaks until 2026-03-02 09:02:00 UTC, 30 s from now."
    )


def test_headline_while_waiting_says_that_a_person_must_act() -> None:
    """Nobody must find out from silence that an approval is missing."""
    story = replace(PROMOTED, cutover=cutover(CutoverStatus.RUNNING),
                    stages=[stage(status=StageStanding.WAITING)])
    found = headline(story)
    assert found.word == "Waiting for approval"
    assert found.ended_at is None


def test_headline_of_a_failure_says_where_traffic_is() -> None:
    """A failed cutover leaves traffic somewhere; the sentence says where."""
    found = headline(replace(PROMOTED, cutover=cutover(CutoverStatus.FAILED, outcome="no disk")))
    assert found.sentence == "No disk; the routing is candidate_only."


def test_headline_without_cutover_says_so() -> None:
    """A migration that was only registered has a headline too."""
    found = headline(Story(None, [], [], [], NAMES, "baseline_only", AT))
    assert (found.status, found.seconds) == ("none", None)
    assert "baseline_only" in found.sentence
