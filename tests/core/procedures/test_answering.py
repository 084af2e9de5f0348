"""An answer counts for the question that it was given to, or for none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from changeover import clock
from changeover.domain.rollout import Answer, Approval, StageAction
from changeover.errors import ApprovalRefused, Refused
from changeover.procedures.answering import Asking, Patience, give, open_question
from changeover.procedures.steps import CutoverRun
from changeover.site.prefect_rows import FlowRun
from changeover.site.site import Site
from changeover.store import approvals
from tests.core.procedures.conftest import begun

ALICE = Answer(StageAction.PROMOTE, "alice", source="cli")
RUN = FlowRun("one", "", "cutover", "PAUSED", "Suspended", clock.now(), None, 1)


class Prefect:
    """What Prefect says of the run, one look after the other, and what it was answered."""

    def __init__(self, *looks: FlowRun, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._looks, self._meanwhile = list(looks), meanwhile
        self.answers: list[dict[str, Any]] = []

    def run(self, _run_id: str) -> FlowRun:
        return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]

    def resume(self, _run_id: str, answers: dict[str, Any]) -> None:
        if self._looks[0].state_type != "PAUSED":
            self._meanwhile()
            raise Refused("Prefect did not accept the answer")
        self.answers.append(answers)


def ask(run: CutoverRun, stage: str) -> Approval:
    return approvals.ask(run.site.store, Approval(
        run.id, stage, 1, 1, run.epoch, "?", clock.now(), flow_run_id="one"))


def answer(run: CutoverRun, asked: Approval, who: str) -> None:
    approvals.answer(run.site.store, asked.id, Answer(StageAction.PROMOTE, who),
                     epoch=run.epoch, now=clock.now())


def asking(run: CutoverRun, prefect: Prefect) -> Asking:
    run.site.prefect = prefect  # type: ignore[assignment]
    return Asking(run.site, open_question(run.site), lambda _site, _carrier: "",
                  Patience(form=5, answer=0))


def test_an_answer_is_not_given_to_the_next_question(site: Site) -> None:
    """Bob was faster; while his answer is worked on, Alice's waits, and then it is refused."""
    run = begun(site)
    first = ask(run, "gradual-50")

    def bob() -> None:
        answer(run, first, "bob")
        ask(run, "disable-baseline")

    working = replace(RUN, state_type="RUNNING", state_name="Running")
    prefect = Prefect(working, working, meanwhile=bob)
    with pytest.raises(ApprovalRefused, match="answered already: bob decided promote on stage gr"):
        give(asking(run, prefect), ALICE)
    assert prefect.answers == []


def test_a_form_of_another_question_is_not_filled_in(site: Site) -> None:
    """Prefect's run is already at the next question, and the store's row is about to follow."""
    run = begun(site)
    ask(run, "gradual-50")
    prefect = Prefect(replace(RUN, form="disable-baseline-r1-a1-0"))
    with pytest.raises(ApprovalRefused, match="asks something else by now, not about gradual-50"):
        give(asking(run, prefect), ALICE)
    assert prefect.answers == []


@pytest.mark.parametrize("form", ["gradual-50-r1-a1-0", "gradual-50-r1-a1-3", ""])
def test_an_answer_to_the_question_itself_is_given(site: Site, form: str) -> None:
    """Whatever the attempt; a run that names no form is answered as ever."""
    run = begun(site)
    ask(run, "gradual-50")
    prefect = Prefect(replace(RUN, form=form))
    give(asking(run, prefect), ALICE)
    assert [each["approver"] for each in prefect.answers] == ["alice"]
