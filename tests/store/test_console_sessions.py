"""Sessions of the console end with what they began with; each form is carried out once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from changeover.domain.sessions import SignedIn, Source, rights
from changeover.domain.tokens import ApproverToken, Scope, Token
from changeover.errors import Refused
from changeover.plan.load import parse_plan
from changeover.store import (
    approver_tokens,
    audit,
    console_forms,
    console_sessions,
    tokens,
)
from changeover.store.console_forms import GIVEN_UP, Form
from changeover.store.console_sessions import digest
from changeover.store.engine import Store
from tests.core.plan.test_load import GOOD

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SOON, LATER = NOW + timedelta(minutes=5), NOW + timedelta(hours=8)
ANN = SignedIn("shop", "ann", NOW, LATER)
FORM = Form(digest("k"), "shop", "pause", "ann", NOW)


def own(store: Store) -> tuple[ApproverToken, SignedIn]:
    """Return a person's token, and a session that began with it."""
    made, _ = approver_tokens.add(store, ApproverToken("shop", "ann", NOW, "test"))
    return made, replace(ANN, source=Source.APPROVER, token_id=made.id)


def test_a_session_is_found_by_its_key_alone_and_only_where_it_began(store: Store) -> None:
    """The store has no key: who reads it cannot sign in."""
    key = console_sessions.begin(store, ANN)
    assert console_sessions.find(store, "shop", key, now=SOON) == ANN
    assert console_sessions.find(store, "other", key, now=SOON) is None
    assert console_sessions.find(store, "shop", digest(key), now=SOON) is None
    assert console_sessions.find(store, "shop", "", now=SOON) is None
    assert console_sessions.find(store, "shop", key, now=LATER) is None


def test_a_session_ends_when_its_browser_signs_in_again_or_out(store: Store) -> None:
    """Each sign-in has a new key; the former one is worth nothing."""
    first = console_sessions.begin(store, ANN)
    second = console_sessions.begin(store, ANN, former=first)
    other = console_sessions.begin(store, ANN)
    assert console_sessions.find(store, "shop", first, now=SOON) is None
    console_sessions.end(store, second, now=SOON)
    assert console_sessions.find(store, "shop", second, now=SOON) is None
    console_sessions.end_all(store, "shop", "ann", now=SOON)
    assert console_sessions.find(store, "shop", other, now=SOON) is None


def test_a_session_ends_with_the_persons_token(store: Store) -> None:
    """Also when another one takes its place."""
    _, who = own(store)
    key = console_sessions.begin(store, who)
    assert console_sessions.find(store, "shop", key, now=SOON) == who
    again = ApproverToken("shop", "ann", SOON, "test")
    approver_tokens.add(store, again, is_new=False)
    assert console_sessions.find(store, "shop", key, now=SOON) is None


@pytest.mark.parametrize("scope", Scope)
def test_a_session_with_the_consoles_token_may_what_that_may(store: Store, scope: Scope) -> None:
    """Until it is revoked, or over."""
    made, _ = tokens.create(store, Token(
        "shop", "wall", scope, created_at=NOW, created_by="test", expires_at=LATER))
    who = replace(ANN, name="wall", source=Source.TOKEN, token_id=made.id)
    key = console_sessions.begin(store, who)
    found = console_sessions.find(store, "shop", key, now=SOON)
    assert found is not None
    assert (found.scope, found.is_person) == (scope, False)
    assert rights(found, parse_plan(GOOD, "plan.yaml")) is scope
    tokens.revoke(store, "shop", made.id, actor="test", now=SOON)
    assert console_sessions.find(store, "shop", key, now=SOON) is None


@pytest.mark.parametrize(("names", "may"), [
    (None, Scope.ADMIN), (["Ann", "bob"], Scope.ADMIN), (["bob", "carol"], Scope.READ)])
def test_people_may_act_whom_the_plan_in_force_lists(names: list[str] | None, may: Scope) -> None:
    """Where it lists nobody, everybody; the rights are never kept with the session."""
    plan = parse_plan(GOOD, "plan.yaml")
    if names is not None:
        plan = parse_plan(f"approvers: {{names: {names}}}\n{GOOD}", "plan.yaml")
    assert rights(ANN, plan) is may


def test_a_form_is_taken_up_once_and_again_only_when_its_process_was_killed(
    store: Store
) -> None:
    """The second one waits; after a while without an answer it acts in the first one's place."""
    assert console_forms.begin(store, FORM, by="oidc") is None
    waits = replace(FORM, begun_at=NOW + GIVEN_UP / 2)
    known = console_forms.begin(store, waits, by="oidc")
    assert known is not None
    assert known.ended_at is None
    third = replace(FORM, begun_at=NOW + GIVEN_UP)
    assert console_forms.begin(store, third, by="oidc") is None
    # which counts from now on
    fourth = replace(FORM, begun_at=NOW + GIVEN_UP * 1.5)
    assert console_forms.begin(store, fourth, by="oidc") is not None
    console_forms.end(store, FORM.id, "it is paused", is_done=True, now=LATER)
    console_forms.end(store, FORM.id, "another word", is_done=False, now=LATER)
    late = console_forms.begin(store, replace(FORM, begun_at=LATER),
                               by="oidc")
    assert late is not None
    assert (late.said, late.is_done) == ("it is paused", True)
    assert len(audit.of_kind(store, "shop", "console.acts")) == 1


def test_a_form_is_about_one_action_of_one_migration(store: Store) -> None:
    """Nobody makes a pause into a rollback with the same key."""
    console_forms.begin(store, FORM, by="oidc")
    with pytest.raises(Refused, match="used for something else"):
        console_forms.begin(store, replace(FORM, action="rollback"), by="oidc")
    assert console_forms.find(store, "other", FORM.id) is None


def test_what_is_long_over_is_forgotten(store: Store) -> None:
    """Neither sessions nor forms grow without end; what is in the audit stays."""
    key = console_sessions.begin(store, ANN)
    console_forms.begin(store, FORM, by="oidc")
    later = NOW + timedelta(days=60)
    console_sessions.begin(store, replace(ANN, began_at=later, expires_at=later + SOON.resolution))
    console_forms.begin(store, replace(FORM, id=digest("other"), begun_at=later), by="oidc")
    with store.read() as session:
        assert session.get(console_sessions.SessionRow, digest(key)) is None
        assert session.get(console_forms.FormRow, FORM.id) is None
    assert len(audit.of_kind(store, "shop", "console.signed_in")) == 2
