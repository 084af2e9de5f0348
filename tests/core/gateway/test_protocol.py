"""Which upgrades are ignored, and that limits stay finite."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.gateway.envoy import protocol


def _is_ignored(upgrade: str) -> bool:
    return re.fullmatch(protocol.all_but("websocket"), upgrade) is not None


@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "WEBSOCKET"])
def test_websockets_are_taken_in_any_case(upgrade: str) -> None:
    """The one protocol that users may switch to is not ignored."""
    assert not _is_ignored(upgrade)


@given(st.text() | st.from_regex(r"(?i)webs?o?c?k?e?t?s?.?", fullmatch=True))
def test_every_other_upgrade_is_ignored(upgrade: str) -> None:
    """Whatever is not that word, also what begins or ends like it."""
    assert _is_ignored(upgrade) == (upgrade.lower() != "websocket")


@pytest.mark.parametrize("options", [
    protocol.accepted()["http_protocol_options"],
    next(iter(protocol.towards_system().values()))["explicit_http_config"]["http_protocol_options"],
])
def test_both_sides_speak_the_same_http(options: dict[str, Any]) -> None:
    """Names as written, any method and trailers pass only when both sides let them."""
    assert options["allow_custom_methods"]
    assert options["enable_trailers"]
    assert "preserve_case" in options["header_key_format"]["stateful_formatter"]["name"]


def test_users_may_not_send_two_lengths() -> None:
    """A request with a length and chunks is refused; an answer with both is taken."""
    towards = next(iter(protocol.towards_system().values()))["explicit_http_config"]
    assert "allow_chunked_length" not in protocol.accepted()["http_protocol_options"]
    assert towards["http_protocol_options"]["allow_chunked_length"]
