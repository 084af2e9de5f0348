"""Who may count as an approver: listed, proven, and not alone who started it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.approvers import Problem, Rules, refusal, together
from changeover.domain.rollout import ANSWERS, StageAction
from changeover.plan.people import person

NAMES = st.sampled_from(["ann", "Ann ", "ANN", "bob", "b\uff4fb", "cleo", "dora"])
LISTS = st.none() | st.lists(NAMES, max_size=4).map(tuple)
RULES = st.builds(
    Rules, names=LISTS, tokens=st.booleans(), four_eyes=st.booleans(), needed=st.integers(1, 3))


@given(rules=RULES, name=NAMES, starters=st.lists(NAMES, max_size=2), proven=st.booleans(),
       decision=st.sampled_from(ANSWERS))
def test_only_who_is_listed_and_proven_is_admitted(
    rules: Rules, name: str, starters: list[str], proven: bool, decision: StageAction
) -> None:
    """Whatever the plan says, and however the name is written."""
    found = refusal(rules, name, decision, starters, is_proven=proven)
    if found is None:
        assert rules.names is None or person(name) in map(person, rules.names)
        assert proven or not rules.tokens
    spelled = refusal(rules, f" {name.upper()} ", decision, starters, is_proven=proven)
    assert spelled == found


@given(rules=RULES, starters=st.lists(NAMES, max_size=2),
       agreed=st.lists(NAMES, min_size=1, max_size=4))
def test_with_four_eyes_whoever_started_it_never_agrees_alone(
    rules: Rules, starters: list[str], agreed: list[str]
) -> None:
    """Also when nobody knows who that was: then every single person may have been."""
    admitted = {person(name) for name in agreed
                if refusal(rules, name, StageAction.PROMOTE, starters, is_proven=True) is None}
    if rules.four_eyes and len(admitted) >= rules.needed_with(starters):
        assert starters or len(admitted) > 1
        assert admitted - {person(each) for each in starters} or len(admitted) > 1


@given(rules=RULES, name=NAMES, starters=st.lists(NAMES, min_size=1, max_size=2))
def test_who_started_it_may_always_hold_it_or_go_back(
    rules: Rules, name: str, starters: list[str]
) -> None:
    """The safe way needs nobody else."""
    for decision in (StageAction.HOLD, StageAction.ROLLBACK):
        found = refusal(rules, name, decision, [*starters, name], is_proven=True)
        assert found in (None, Problem.UNLISTED)


@given(rules=st.lists(RULES, min_size=1, max_size=4), name=NAMES)
def test_who_answers_several_questions_at_once_may_answer_each(
    rules: list[Rules], name: str
) -> None:
    """`from_stage` takes the approvers of every stage that is passed over."""
    one = together(rules)
    assert one.allows(name) == all(each.allows(name) for each in rules)
    assert one.needed == max(each.needed for each in rules)


@pytest.mark.parametrize(("typed", "in_the_plan", "is_listed"), [
    (" ANN@Example.com ", "ann@example.com", True), ("\u00c9VA", "\u00e9va", True),
    ("e\u0301va", "\u00e9va", True), ("bob@stra\u00dfe.de", "bob@strasse.de", False),
    ("\ufb01ona", "fiona", False), ("\u212aim", "kim", False), ("b\uff4fb", "bob", False)])
def test_an_account_whose_name_only_looks_alike_is_not_the_listed_one(
    typed: str, in_the_plan: str, is_listed: bool
) -> None:
    """A provider may give such names to strangers; both still count as one person for four eyes."""
    assert Rules((in_the_plan,)).allows(typed) is is_listed
    assert person(typed) == person(in_the_plan)


def test_people_are_told_who_may_answer() -> None:
    """Nothing is said where anybody may."""
    assert Rules().text == ""
    assert Rules(("ann", "bob"), tokens=True, four_eyes=True).text == (
        "ann, bob; with a token or signed in; not alone who started it")
