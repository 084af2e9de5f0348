"""Guardrails that roll back, second by second, in a plan that names no trigger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import pytest

from changeover.analysis.guardrails import COUNTED
from changeover.analysis.window import Measurements, Sample, Window
from changeover.observer.guardrail_watch import GUARDRAIL_SECONDS
from changeover.observer.watch import Watch
from changeover.plan.guardrails import Guardrail
from changeover.plan.model import Plan
from changeover.plan.subsets import REST, subset_of_route
from changeover.plan.triggers import TriggerAction

SYSTEM = {"name": "x", "url": "http://127.0.0.1:1"}
BAD = {
    Guardrail.ERRORS: {"errors": {"status_5xx": 10}},
    Guardrail.CLIENT_ERRORS: {"client_errors": 10},
    Guardrail.REDIRECTS: {"redirects": 10},
    Guardrail.EMPTY_ANSWERS: {"empty_answers": 10},
}


def watch(*, routes: Sequence[object] = (), **guardrails: object) -> Watch:
    """Return the watch of a plan without triggers."""
    return Watch(Plan.model_validate({
        "routes": list(routes),
        "migration": "watched", "systems": {"baseline": SYSTEM, "candidate": SYSTEM},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
        "guardrails": guardrails,
    }))


def second(system: str, at: int, bad: Guardrail | None = None) -> Sample:
    """Return a second with ten requests of nine users; all of them bad, or none."""
    users = tuple(range(0, 18, 2))
    met = {str(COUNTED[bad][0]): users} if bad else {}
    return Sample(system, at, requests=10, answers=10, users={"answer": users, **met},
                  **(BAD[bad] if bad else {}))  # type: ignore[arg-type]


def fired(watching: Watch, rows: list[Sample]) -> list[tuple[TriggerAction, str, int]]:
    """Step through the seconds of some samples and return what fired."""
    found = []
    for at in sorted({row.at for row in rows}):
        watching.feed(row for row in rows if row.at == at)
        found += [(action, firing.trigger, firing.at) for action, firing in watching.step(at)]
    return found


@pytest.mark.parametrize("name", sorted(COUNTED))
def test_candidate_that_answers_only_wrongly_is_rolled_back(name: Guardrail) -> None:
    """Once, after some seconds of nothing else, while the baseline is well."""
    rows = [*(second("baseline", at) for at in range(100, 120)),
            *(second("candidate", at, name) for at in range(100, 120))]
    assert fired(watch(), rows) == [
        (TriggerAction.ROLLBACK, f"guardrail {name}", 101 + GUARDRAIL_SECONDS - 1)]


@pytest.mark.parametrize("name", sorted(COUNTED))
def test_guardrail_that_is_off_rolls_nobody_back(name: Guardrail) -> None:
    """The plan said so, with a reason."""
    rows = [*(second("baseline", at) for at in range(100, 120)),
            *(second("candidate", at, name) for at in range(100, 120))]
    assert fired(watch(**{str(name): {"off": "they always did"}}), rows) == []


@pytest.mark.parametrize("name", sorted(COUNTED))
def test_both_systems_alike_roll_nobody_back(name: Guardrail) -> None:
    """What a system always answers, or an outage of both, is not the candidate's doing."""
    rows = [second(system, at, name) for system in ("baseline", "candidate")
            for at in range(100, 120)]
    assert fired(watch(), rows) == []


def test_everybody_on_the_candidate_is_compared_with_what_the_baseline_answered() -> None:
    """In the full phase the baseline serves nobody; without any knowledge nothing is done."""
    rows = [second("candidate", at, Guardrail.CLIENT_ERRORS) for at in range(100, 120)]
    assert fired(watch(), rows) == []
    knowing = watch()
    knowing.know_baseline(Window(seconds=60, requests=500, client_errors=20))
    assert [name for _, name, _ in fired(knowing, rows)] == ["guardrail client_errors"]


def test_relief_is_no_failure_of_the_candidate() -> None:
    """While back-pressure answers in its place nothing is known of it, nor from before that."""
    watching = watch()
    found = []
    for at in range(100, 130):
        is_withheld, is_bad = 103 <= at < 120, 102 <= at < 120
        watching.feed([second("baseline", at),
                       second("candidate", at, Guardrail.ERRORS if is_bad else None)])
        if is_withheld:
            watching.withhold(at)
        found += watching.step(at)
    assert found == []


def test_candidate_that_fails_after_its_relief_is_rolled_back() -> None:
    """The guardrail looks again as soon as the candidate is asked again."""
    watching = watch()
    watching.withhold(109)
    rows = [each for at in range(100, 120) for each in
            (second("baseline", at), second("candidate", at, Guardrail.ERRORS))]
    assert fired(watching, rows) == [
        (TriggerAction.ROLLBACK, "guardrail errors", 111 + GUARDRAIL_SECONDS - 1)]


OLD = {"name": "old", "path": {"prefix": "/old"}}


def in_part(part: str, sample: Sample) -> Sample:
    """Return a second whose requests are all of one part of the traffic."""
    met = Measurements(**{each.name: getattr(sample, each.name) for each in fields(Measurements)})
    return replace(sample, subsets={part: met})


@pytest.mark.parametrize(("was", "fires"), [(Guardrail.REDIRECTS, False), (None, True)],
                         ids=["it always redirected", "it never did"])
def test_a_route_is_compared_with_what_the_baseline_answered_there(
    was: Guardrail | None, fires: bool
) -> None:
    """A page that always redirects is no failure of a candidate that serves only this page."""
    route, watching = subset_of_route("old"), watch(routes=[OLD])
    before = [in_part(route, second("baseline", at, was)) for at in range(100, 110)]
    assert fired(watching, before) == []
    rows = [each for at in range(110, 130) for each in (
        in_part(REST, second("baseline", at)),
        in_part(route, second("candidate", at, Guardrail.REDIRECTS)))]
    assert bool(fired(watching, rows)) == fires


def test_a_route_that_the_baseline_never_served_fires_nothing() -> None:
    """Nobody knows how it should answer; a candidate that fails is seen by the fast path."""
    rows = [each for at in range(100, 120) for each in (
        in_part(REST, second("baseline", at)),
        in_part(subset_of_route("old"), second("candidate", at, Guardrail.REDIRECTS)))]
    assert fired(watch(routes=[OLD]), rows) == []
