"""No text keeps anything from being stored: a rollback's reason least of all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.clock import now
from changeover.domain.audit import Author
from changeover.domain.messages import Message, Severity
from changeover.domain.rollbacks import Rollback, RollbackSeverity
from changeover.domain.routing import Change, Mode
from changeover.domain.storable import storable
from changeover.store import audit, messages, rollbacks, routing
from changeover.store.engine import Store


@given(st.text(st.characters(), max_size=10) | st.text("\0\ud800\udcffaé", max_size=5))
def test_text_that_can_be_stored_stays_and_all_can_be_stored(text: str) -> None:
    """What has no odd character is the same text; what has one is told by its number."""
    found = storable(text)
    assert "\0" not in found
    assert found.encode().decode() == found == storable(found)
    if "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text):
        assert found is text


@pytest.mark.parametrize(("odd", "kept"), [
    ("nul \0", r"nul \x00"), ("half \ud800", r"half \ud800"), ("byte \udce9", r"byte \udce9"),
    ("Zoë 🙂", "Zoë 🙂"),
], ids=ascii)
def test_a_rollback_with_an_odd_reason_is_stored_and_its_audit_is_intact(
    store: Store, odd: str, kept: str
) -> None:
    """State, rollback, message and audit take whatever somebody or some system wrote."""
    name, at = "shop", now()
    routing.change(
        store, name, Change(maintenance=True, maintenance_reason=odd), Author("a", odd), now=at)
    state = routing.change(
        store, name, Change(mode=Mode.EMERGENCY_ROLLBACK), Author(odd, odd), now=at)
    rollbacks.begin(store, Rollback(
        name, epoch=state.epoch, reason=odd, severity=RollbackSeverity.CRITICAL, scope="all",
        actor=odd, started_at=at))
    messages.put(store, Message(
        name, key=odd, severity=Severity.CRITICAL, title=odd, body=odd, at=at))
    found = rollbacks.of_epoch(store, name, state.epoch)
    assert found is not None
    assert (found.reason, found.actor) == (kept, kept)
    assert routing.read(store, name).maintenance_reason == kept
    assert audit.verify(store, name) == []
    assert {event.actor for event in audit.events(store, name)} >= {"a", kept}
