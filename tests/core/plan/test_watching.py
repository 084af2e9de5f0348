"""`plan check` names what nobody would notice."""

from __future__ import annotations

from typing import Any

import pytest

from changeover.plan.guardrails import Guardrail
from changeover.plan.rules import check_plan, warnings
from tests.core.plan.test_reach import plan, trigger

WATCHED = {"up": trigger("up", below=1), "errors": trigger("error_rate", above="9%"),
           "slow": trigger("latency_p95", above="1s"), "memory": trigger("memory", above="1GB")}
BLIND = {
    Guardrail.ERRORS: ("fails every request", trigger("user_error_rate", above="9%")),
    Guardrail.CLIENT_ERRORS: ("answers 404 to everybody",
                              trigger("client_error_rate", above="9%")),
    Guardrail.REDIRECTS: ("only redirects", trigger("redirect_rate", above="9%")),
    Guardrail.EMPTY_ANSWERS: ("without a body", trigger("empty_rate", above="9%")),
    Guardrail.SHORT_ANSWERS: ("with a few bytes", trigger("response_bytes", below="1kB")),
    Guardrail.DOWN: ("is down", trigger("up", below=1)),
    Guardrail.REGRESSIONS: ("nothing reads what shadow comparison finds",
                            trigger("match_rate", below="90%")),
}


def notes(triggers: list[dict[str, Any]], **parts: Any) -> str:
    """Return the warnings about a plan with some triggers."""
    named = [{**each, "name": f"t{number}"} for number, each in enumerate(triggers)]
    return "\n".join(warnings(plan(triggers=named, **parts)))


@pytest.mark.parametrize("name", BLIND)
def test_guardrail_that_is_off_is_named_unless_something_else_looks(name: Guardrail) -> None:
    """With its reason, so that a reader can judge it."""
    what, watching = BLIND[name]
    off = {str(name): {"off": "we know better"}}
    told = notes([WATCHED["slow"]], guardrails=off)
    assert what in told and "we know better" in told
    assert what not in notes([watching], guardrails=off)
    assert what not in notes([WATCHED["slow"]])


@pytest.mark.parametrize(("status", "name"), [
    (404, Guardrail.CLIENT_ERRORS), ("4xx", Guardrail.CLIENT_ERRORS),
    ([301, 302], Guardrail.REDIRECTS), ("2xx", Guardrail.CLIENT_ERRORS),
    ("2xx", Guardrail.REDIRECTS),
])
def test_rate_by_status_notices_what_its_status_shows(status: object, name: Guardrail) -> None:
    """And nothing else; a check of one segment notices nothing for all."""
    off = {str(name): {"off": "we know better"}}
    watching = trigger("status_rate", status=status, above="9%")
    assert BLIND[name][0] not in notes([watching], guardrails=off)
    other = watching | {"status": 418}
    assert BLIND[name][0] in notes([other], guardrails=off)
    segments = {"beta": {"header": "x-cohort", "any_of": ["beta"]}}
    one = watching | {"segment": "beta"}
    assert BLIND[name][0] in notes([one], guardrails=off, routing={"segments": segments})


@pytest.mark.parametrize(("triggers", "parts", "words"), [
    ([], {}, "the plan has no trigger"),
    ([WATCHED["errors"] | {"action": "alert"}], {}, "no trigger rolls back"),
    ([WATCHED["errors"]], {"shadow": None}, "the plan has no shadow"),
    ([WATCHED["errors"]], {"shadow": {"noise": 0}}, "shadow.noise is 0"),
    ([WATCHED["errors"]], {}, "no gate or trigger reads a latency"),
    ([WATCHED["errors"]], {}, "nobody watches the candidate's memory"),
    ([WATCHED["errors"] | {"for": "9h"}], {}, "longer than all soaks"),
])
def test_what_nobody_watches_is_named(
    triggers: list[dict[str, Any]], parts: dict[str, Any], words: str
) -> None:
    """Once each, and not when somebody does."""
    assert words in notes(triggers, **parts)
    assert words not in notes(list(WATCHED.values()))


def test_name_of_the_guardrails_is_not_a_gates() -> None:
    """Their verdicts stand beside those of gates under that name."""
    gates = {"guardrails": [{"metric": "up", "at_least": 1}]}
    assert any("give the gate another" in each.text for each in check_plan(plan(gates=gates)))


def test_trigger_against_the_baseline_warns_of_stages_where_it_cannot_fire() -> None:
    """In the full phase, and where only segments are moved, nobody can be compared."""
    parts = {
        "routing": {"segments": {"staff": {"header": "x-cohort", "any_of": ["staff"]}},
                    "key": {"header": "x-user"}},
        "phases": [{"phase": "beta", "segments": ["staff"], "soak": "1h"},
                   {"phase": "gradual", "stages": [{"percent": 10, "soak": "1h"}]},
                   {"phase": "full", "soak": "1h"}],
        "triggers": [{"name": "worse", "metric": "error_rate", "ratio_to_baseline": 2,
                      "action": "rollback"}],
    }
    found = [each for each in warnings(plan(**parts)) if "cannot fire" in each]
    assert found == [
        "trigger worse cannot fire in stage beta (staff): its users are moved by segments, not by "
        "the split, and are not compared; set `test: threshold`",
        "trigger worse cannot fire in stage full 100 %: nobody is on the baseline there; add a "
        "trigger with a fixed bound",
    ]
