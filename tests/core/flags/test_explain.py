"""Why a user gets a system, in words that a person can check."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.routing import Mode, RoutingState, bucket, decide
from changeover.errors import InvalidInput
from changeover.flags.evaluate import Evaluator
from changeover.flags.explain import as_text, attributes, explain
from changeover.flags.snapshot import of_plan
from changeover.plan.load import parse_plan
from tests.core.plan.test_load import GOOD
from tests.support.examples import MANY

PLAN = parse_plan(GOOD + "flags: {f: {rules: [{percent: 25, variant: enabled}]}}\n", "test")


def told(key: str, mode: Mode = Mode.GRADUAL, weight: int = 2_500, context: Any = None,
         **state: Any) -> dict[str, Any]:
    """Return the explanation for a user."""
    snapshot = of_plan(PLAN, RoutingState("shop", mode=mode, weight=weight, **state))
    return explain(Evaluator(snapshot), key, context or {})


@pytest.mark.parametrize(("found", "words"), [
    (told("user-7"), "candidate because bucket 2157 is below 2500 (gradual 25 %)"),
    (told("user-1"), "baseline because bucket 6856 is at or above 2500 (gradual 25 %)"),
    (told(""), "baseline because a request without a key stays at the baseline (gradual 25 %)"),
    (told("", context={"x-cohort": "beta"}, segments=("beta",)),
     "candidate because segment beta has moved (gradual 25 %)"),
    (told("user-7", Mode.EMERGENCY_ROLLBACK), "baseline because the mode is emergency_rollback"),
    (told("user-1", Mode.CANDIDATE_ONLY), "candidate because the mode is candidate_only"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_explanation_names_what_decided(found: dict[str, Any], words: str) -> None:
    """Mode, segment or bucket, with the numbers that were compared."""
    assert f"gets the {words}" in as_text(found).splitlines()[0]


@given(st.text(min_size=1, max_size=30).filter(str.isprintable), st.sampled_from(Mode),
       st.integers(0, 10_000))
@MANY
def test_explanation_agrees_with_decide(key: str, mode: Mode, weight: int) -> None:
    """The system and the bucket are the routing's own."""
    found = told(key, mode, weight)
    assert found["system"] == decide(RoutingState("shop", mode=mode, weight=weight), key)
    assert found["bucket"] == (bucket(key) if key.strip() else None)
    assert found["flags"]["changeover.system"]["value"] == found["system"]


def test_maintenance_and_flags_are_told() -> None:
    """Who reads it learns that nobody gets through, and what each flag is and why."""
    text = as_text(told("user-7", maintenance=True))
    assert "maintenance: the gateway answers everyone with 503 now" in text
    assert "  f                  True (enabled): rule 1: 25 % of users" in text


def test_attributes_that_are_written_as_text_are_read_as_json() -> None:
    """Numbers, true and lists are what they look like; text stays text, as a header always does."""
    texts = {"age": "40", "paying": "true", "groups": '["a"]', "country": "NO", "size": '"40"',
             "ratio": "NaN", "since": "2026-11-25", "x-cohort": "7", "X-Cohort": "true"}
    assert attributes(texts, of_plan(PLAN, RoutingState("shop"))) == {
        **texts, "age": 40, "paying": True, "groups": ["a"], "size": "40"}


def test_expired_flags_are_noted() -> None:
    """Who reads the explanation learns which flag should be gone by now."""
    flags = "flags: {f: {expires: 2026-11-25}, g: {expires: 2026-11-25}}\n"
    plan = parse_plan(GOOD + flags, "test")
    evaluator, day = Evaluator(of_plan(plan, RoutingState("shop"))), date(2026, 11, 25)
    assert explain(evaluator, "u")["notes"] == []
    assert explain(evaluator, "u", today=date(2026, 11, 24))["notes"] == []
    found = explain(evaluator, "u", flag="f", today=day)
    assert as_text(found).splitlines()[-1].startswith("note: flag f expired on 2026-11-25: remove")
    assert len(explain(evaluator, "u", today=day)["notes"]) == 2


@pytest.mark.parametrize(("key", "flag"), [("x" * 4_097, None), ("\ud800", None), ("u", "nope"),
                                           ("a\0b", None), ("a\nb", None), (["a", "\x7f"], None)])
def test_what_cannot_be_explained_is_refused(key: Any, flag: str | None) -> None:
    """A key that nobody could send, or a flag that is not there."""
    with pytest.raises(InvalidInput):
        explain(Evaluator(of_plan(PLAN, RoutingState("shop"))), key, flag=flag)


@pytest.mark.parametrize(("key", "text"), [
    ("caf\udce9", r"caf\xe9"), (b"caf\xe9", r"caf\xe9"), ("Zoë", "Zoë"), (["u2", "v2"], "u2, v2"),
], ids=str)
def test_any_key_that_can_be_sent_is_explained_in_text_that_can_be_shown(
    key: Any, text: str
) -> None:
    """Other bytes than UTF-8, and several values, are told so that every page can show them."""
    found = told(key)
    assert as_text(found).startswith(f"{text} gets the ")
    assert found["bucket"] == bucket(key)
    assert found["flags"]["changeover.system"]["value"] == found["system"]
