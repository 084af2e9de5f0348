"""Who may approve, in a plan: what nobody can do is refused with its line."""

from __future__ import annotations

import pytest

from changeover.domain.approvers import Rules, rules_of, to_amend
from changeover.plan.load import parse_plan
from tests.core.plan.test_load import GOOD, problems

FULL = "approval: {approvers: 2}"


@pytest.mark.parametrize(("text", "where", "said"), [
    ("{names: []}", "approvers.names", "1"),
    ("{names: alice}", "approvers.names", "list"),
    ("{names: [a]}", "approvers.names[0]", "2"),
    ("{names: [' ann']}", "approvers.names[0]", "' ann'"),
    ("{names: [ann, bob, ' Bob']}", "approvers.names[2]", "' Bob'"),
    ("{names: [ann, bob, BOB]}", "approvers.names[2]", "'BOB' and 'bob' are one person"),
    ("{names: [ann], four_eyes: true}", "approvers.names", "four_eyes needs two names or more"),
    ("{tokens: perhaps}", "approvers.tokens", "true"),
    ("{four_eyes: 7}", "approvers.four_eyes", "true"),
    ("{nams: [ann]}", "approvers.nams", "did you mean 'names'"),
])
def test_approvers_that_cannot_work_are_refused_with_their_line(
    text: str, where: str, said: str
) -> None:
    """One message with what is allowed."""
    found = problems(f"{GOOD.replace(FULL, 'approval: {}')}approvers: {text}\n")
    assert found[0].startswith(f"line 17, {where}"), found
    assert said in found[0]


@pytest.mark.parametrize(("text", "said"), [
    ("approval: {approvers: 2, names: [ann]}", "2 different people must agree, and 1 may: ann"),
    ("approval: {approvers: 2, names: [ann, Ann]}", "'Ann' and 'ann' are one person"),
    ("approval: {names: [ann], four_eyes: true}", "nobody could approve what ann started"),
    ("approval: {names: []}", "names"),
    ("approval: {tokens: 3}", "tokens"),
])
def test_a_stage_that_nobody_could_approve_is_refused_with_its_line(text: str, said: str) -> None:
    """Fewer names than approvals, one person twice, four eyes with one pair."""
    found = problems(GOOD.replace(FULL, text))
    assert found[0].startswith("line 14, phases[2].approval"), found
    assert said in found[0]


def test_a_stage_needs_no_more_people_than_the_plan_lists() -> None:
    """Also where the names are the plan's."""
    (found,) = problems(f"{GOOD}approvers: {{names: [ann]}}\n")
    assert found.startswith("line 14, phases[2].approval.approvers")
    assert "2 different people must agree, and 1 may: ann" in found


def test_a_stage_has_its_own_names_or_the_plans() -> None:
    """What it does not say is as the plan says."""
    text = GOOD.replace("{percent: 10, soak: 1h}",
                        "{percent: 10, soak: 1h, approval: {names: [cleo, dora]}}")
    plan = parse_plan(f"{text}approvers: {{names: [ann, bob], tokens: true, four_eyes: true}}\n",
                      "x")
    assert rules_of(plan, "gradual-10") == Rules(("cleo", "dora"), True, True, 1)
    assert rules_of(plan, "full") == Rules(("ann", "bob"), True, True, 2)
    assert rules_of(plan) == Rules(("ann", "bob"), True, True, 1)
    # nobody is listed for both of the stages that are passed over, but gradual-10 asks alone
    assert rules_of(plan, "from-full") == Rules(("cleo", "dora"), True, True, 1)


STRICT = GOOD.replace("approval: {approvers: 2}",
                      "approval: {approvers: 2, names: [ann, bob], tokens: true}")


@pytest.mark.parametrize("subject", [
    "before-full-1", "after-full-12", "capacity-before-full-1", "capacity-final"])
def test_a_question_around_a_stage_has_the_stages_rules(subject: str) -> None:
    """A hook that failed, or a baseline that grew too small, is no way around its approvers."""
    plan = parse_plan(STRICT, "x")
    assert rules_of(plan, subject) == rules_of(plan, "full")
    assert rules_of(plan, "full") == Rules(("ann", "bob"), True, False, 2)
    assert rules_of(plan, "before-gradual-10-1") == rules_of(plan, "gradual-10") == Rules()


def test_who_loosens_the_rules_of_a_question_is_one_who_may_answer_it() -> None:
    """Else whoever approves an early stage could name the approvers of the last one."""
    strict, loose = parse_plan(STRICT, "x"), parse_plan(GOOD, "x")
    assert to_amend(strict, loose, "") == rules_of(strict, "full")
    assert to_amend(strict, loose, "gradual-10") == rules_of(strict, "full")
    assert to_amend(strict, strict, "gradual-10") == rules_of(strict, "gradual-10")
    assert to_amend(strict, strict, "full") == rules_of(strict, "full")


def test_without_configuration_anybody_may_answer() -> None:
    """As it was before plans could say who."""
    plan = parse_plan(GOOD, "x")
    assert plan.approvers is None
    assert {rules_of(plan, subject) for subject in ("", "retire", "beta-5")} == {Rules()}
    assert rules_of(plan, "full") == Rules(needed=2)
    assert Rules().text == ""


@pytest.mark.parametrize(("text", "where", "said"), [
    ("{client_id: c, env: S}", "console.oidc", "issuer"),
    ("{issuer: 'http://login.example.com', client_id: c, env: S}", "console.oidc.issuer",
     "allowed are https://... and, on this machine, http://127.0.0.1:"),
    ("{issuer: 'https://login.example.com', client_id: c, env: secret}", "console.oidc.env",
     "'secret'"),
    ("{issuer: 'https://login.example.com', client_id: c, env: S, claim: E-Mail}",
     "console.oidc.claim", "'E-Mail'"),
    ("{issuer: 'https://login.example.com', client_id: c, env: S, session: 30d}",
     "console.oidc.session", "1 day"),
    ("{issuer: 'https://login.example.com', client_id: c, env: S, secret: x}",
     "console.oidc.secret", "allowed"),
])
def test_a_provider_that_nobody_can_sign_in_with_is_refused_with_its_line(
    text: str, where: str, said: str
) -> None:
    """A secret has no place in a plan, and its keys must come over TLS."""
    (found,) = problems(f"{GOOD}console: {{oidc: {text}}}\n")
    assert found.startswith(f"line 17, {where}"), found
    assert said in found
