"""What people are sent when they are asked, and when they do not answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover import clock
from changeover.domain.messages import Severity
from changeover.domain.rollout import Answer, Approval, GateVerdict, StageAction
from changeover.domain.verdict import Verdict
from changeover.plan.procedures import NotifySpec, PatienceSpec
from changeover.procedures.announcing import announcement, due, put_reminders
from changeover.site.site import Site
from changeover.store import approvals, cutovers, messages, verdicts
from tests.core.procedures.conftest import begun

HOUR = timedelta(hours=1)
CHECK = {"verdict": "pass", "reason": "error_rate of candidate 0.1 % is below 1 % in 900 samples"}


@pytest.fixture
def notified(site: Site) -> Site:
    """A migration whose people are notified."""
    site.home.create()
    site.home.save_settings({"ui_url": "http://127.0.0.1:4200"})
    hook = NotifySpec(webhook="http://127.0.0.1:1/hook")
    return changed(site, notify=[hook])


def changed(site: Site, **parts: object) -> Site:
    """Return the migration with another plan."""
    return Site(site.home, site.plan.model_copy(update=parts), site.store)


def asked(site: Site) -> Approval:
    """Ask about the first stage, whose gate has passed."""
    run = begun(site)
    stage = site.plan.stages()[0]
    cutovers.enter_stage(site.store, run.id, stage, now=clock.now())
    for gate, verdict in (("slo", Verdict.INCONCLUSIVE), ("slo", Verdict.PASS)):
        number = len(verdicts.all_of(site.store, run.id))
        verdicts.save(site.store, GateVerdict(
            run.id, stage.key, gate, 1, number, verdict, "", clock.now(), [CHECK]))
    return approvals.ask(site.store, Approval(
        run.id, stage.key, 1, 1, run.epoch, "question", clock.now(), flow_run_id="run-7"))


def test_message_says_where_to_answer_about_what_and_what_was_found(notified: Site) -> None:
    """The form's address, the stage by its title, the newest verdict with value and bound."""
    message = announcement(notified, asked(notified))
    assert message.title == f"bench waits for approval of {notified.plan.stages()[0].title}"
    assert "http://127.0.0.1:4200/runs/flow-run/run-7" in message.body
    assert "changeover approve promote" in message.body
    assert f"slo: pass. {CHECK['reason']}" in message.body
    assert "inconclusive" not in message.body
    there = changed(notified, environment="production")
    question = approvals.open_for(there.store, "bench")
    assert question is not None
    assert announcement(there, question).title.startswith("bench (production) waits")


def test_who_does_not_answer_is_reminded_and_at_last_others_are_told(notified: Site) -> None:
    """Every four hours once, however often it is looked at; critical after a day; then no more."""
    question = asked(notified)
    for after, new in ((1, 0), (4, 1), (5, 0), (9, 1), (25, 2), (26, 0)):
        at = question.asked_at + after * HOUR
        assert put_reminders(notified, now=at) == new, after
        assert put_reminders(notified, now=at) == 0
    sent = messages.newest(notified.store, "bench")
    assert [each.severity for each in sent].count(Severity.CRITICAL) == 1
    assert "has waited for 1d1h" in sent[-1].title
    approvals.answer(notified.store, question.id, Answer(StageAction.PROMOTE, "alice"),
                     epoch=question.epoch, now=clock.now())
    assert put_reminders(notified, now=question.asked_at + 99 * HOUR) == 0


@given(hours=st.floats(0, 10_000))
def test_reminders_never_begin_early_and_do_not_end_before_the_answer(hours: float) -> None:
    """One at a time; 0 means never."""
    waited = timedelta(hours=hours)
    names = [name for name, _ in due(PatienceSpec(), waited)]
    assert ("escalate" in names) is (hours >= 24)
    assert any(name.startswith("remind") for name in names) is (hours >= 4)
    assert due(PatienceSpec(remind=timedelta(0), escalate=timedelta(0)), waited) == []
