"""Tokens of the console: shown once, found again by their hash alone, ended for good."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from changeover.domain.tokens import Scope, Token
from changeover.errors import InvalidInput
from changeover.store import plans, tokens
from changeover.store.engine import Store
from tests.store.conftest import shop

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def make(store: Store, lifetime: timedelta | None = None) -> tuple[Token, str]:
    return tokens.create(store, Token(
        "shop", name="worker", scope=Scope.WRITE, created_at=NOW, created_by="alice",
        expires_at=NOW + lifetime if lifetime else None))


def test_a_token_is_found_by_its_text_and_its_use_is_noted(store: Store) -> None:
    """Who uses which token last is seen in the list."""
    token, secret = make(store)
    found = tokens.find(store, "shop", secret, now=NOW)
    assert found is not None and (found.id, found.scope) == (token.id, Scope.WRITE)
    assert tokens.every(store, "shop")[0].last_used_at == NOW


def test_the_store_never_has_a_tokens_secret(store: Store) -> None:
    """A stolen backup of the database opens nothing."""
    _, secret = make(store)
    part = secret.split("_", 2)[2]
    assert len(part) == 43  # 256 bits
    with store.read() as session:
        for table in ("console_token", "audit_event"):
            rows = session.execute(text(f"SELECT * FROM {table}")).all()  # noqa: S608
            assert part not in str(rows)


@pytest.mark.parametrize("damage", [
    lambda secret: secret[:-1] + ("A" if secret[-1] != "A" else "B"),
    lambda secret: secret.replace("_", "-", 1), lambda secret: secret + "x", lambda secret: "",
    lambda secret: "chg_" + "0" * 12 + secret[16:], lambda secret: secret.upper(),
], ids=["last letter", "form", "longer", "empty", "other id", "case"])
def test_any_other_text_is_no_token(store: Store, damage: object) -> None:
    """Nearly right is wrong."""
    _, secret = make(store)
    assert tokens.find(store, "shop", damage(secret), now=NOW) is None  # type: ignore[operator]


def test_a_token_opens_the_console_of_its_migration_alone(store: Store) -> None:
    """On a store that several migrations share, nobody writes to, sees or revokes another's."""
    other = shop().model_copy(update={"migration": "other"})
    plans.register(store, other, source="test", now=NOW)
    token, secret = make(store)
    assert tokens.find(store, "other", secret, now=NOW) is None
    assert tokens.every(store, "other") == []
    with pytest.raises(InvalidInput, match="migration other has no token"):
        tokens.revoke(store, "other", token.id, actor="bob", now=NOW)
    assert tokens.find(store, "shop", secret, now=NOW) is not None


def test_a_token_ends_with_its_lifetime(store: Store) -> None:
    """From the moment on, not a second later."""
    _, secret = make(store, timedelta(hours=1))
    assert tokens.find(store, "shop", secret, now=NOW + timedelta(minutes=59)) is not None
    assert tokens.find(store, "shop", secret, now=NOW + timedelta(hours=1)) is None


def test_a_revoked_token_stays_revoked(store: Store) -> None:
    """Revoking twice is fine, and nothing brings it back."""
    token, secret = make(store)
    first = tokens.revoke(store, "shop", token.id, actor="bob", now=NOW)
    again = tokens.revoke(store, "shop", token.id, actor="bob", now=NOW + timedelta(hours=1))
    assert first.revoked_at == again.revoked_at == NOW
    assert tokens.find(store, "shop", secret, now=NOW) is None
    with pytest.raises(InvalidInput):
        tokens.revoke(store, "shop", "000000000000", actor="bob", now=NOW)


@pytest.mark.parametrize(("has", "wanted", "is_enough"), [
    (Scope.READ, Scope.READ, True), (Scope.READ, Scope.WRITE, False),
    (Scope.WRITE, Scope.READ, True), (Scope.WRITE, Scope.ADMIN, False),
    (Scope.ADMIN, Scope.WRITE, True),
])
def test_scopes_include_the_smaller_ones(has: Scope, wanted: Scope, is_enough: bool) -> None:
    """Who may write may read; nobody gets more than that."""
    assert has.allows(wanted) == is_enough


def test_a_text_opens_nothing_until_it_is_saved(store: Store) -> None:
    """Processes can be given a token before there is a store, and nonsense is never saved."""
    text_ = tokens.new_text()
    assert tokens.find(store, "shop", text_, now=NOW) is None
    wanted = Token("shop", name="demo", scope=Scope.WRITE, created_at=NOW, created_by="demo")
    saved = tokens.save(store, wanted, text_)
    found = tokens.find(store, "shop", text_, now=NOW)
    assert found is not None and found.id == saved.id
    with pytest.raises(ValueError, match="not the text of a token"):
        tokens.save(store, wanted, "chg_short")
