"""From a line of the access log follows what kind of answer it was."""

from __future__ import annotations

import json

import pytest

from changeover.gateway.accesslog import classify, parse_line

LINE = {
    "t": "1700000000.250000", "us": 1500, "ms": 1, "s": 200, "f": "-", "r": "candidate:10000:safe",
    "c": "candidate", "h": "127.0.0.1:1", "n": 1, "k": "user-1", "m": "GET", "i": "id", "b": 12,
}


def kinds_of(**changes: object) -> tuple[bool, bool, bool]:
    """Return whether a line is a client error, a redirect, an answer whose body counts."""
    entry = parse_line(json.dumps({**LINE, **changes}).encode(), {})
    found = classify(entry) if entry else None
    assert found is not None
    return found.is_client_error, found.is_redirect, found.is_answer


@pytest.mark.parametrize(("status", "kinds"), [
    (200, (False, False, True)), (204, (False, False, True)), (206, (False, False, True)),
    (301, (False, True, False)), (302, (False, True, False)), (308, (False, True, False)),
    (304, (False, False, False)), (400, (True, False, False)), (404, (True, False, False)),
    (429, (True, False, False)), (500, (False, False, False)), (101, (False, False, False)),
])
def test_status_tells_the_kind_of_answer(status: int, kinds: tuple[bool, bool, bool]) -> None:
    """4xx is a client error; 3xx a redirect, but 304 is what the client asked for."""
    assert kinds_of(s=status) == kinds


@pytest.mark.parametrize("changes", [
    {"m": "HEAD"}, {"m": "POST"}, {"f": "DC"}, {"f": "UC"}, {"b": None}, {"m": None},
], ids=str)
def test_only_whole_answers_to_get_are_expected_to_have_a_body(changes: dict[str, object]) -> None:
    """Nobody reads the body of a HEAD; who went away, or was cut off, says nothing about it."""
    assert kinds_of(**changes)[2] is False
