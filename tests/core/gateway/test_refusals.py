"""What the gateway itself refused is told from what a system answered."""

from __future__ import annotations

import json

import pytest

from changeover.gateway.accesslog import Entry, classify, parse_line, refusal

REFUSED = {
    "t": "1700000000.25", "us": 60, "ms": 0, "s": 400, "f": "DPE", "r": None, "u": None, "c": None,
    "h": None, "n": 0, "k": None, "m": None, "i": None, "b": 11, "d": "http1.codec_error",
}


def entry(**changes: object) -> Entry:
    """Return a line's entry."""
    found = parse_line(json.dumps({**REFUSED, **changes}).encode(), {})
    assert found is not None
    return found


@pytest.mark.parametrize(("status", "details"), [
    (400, "http1.codec_error"), (404, "absolute_path_rejected"), (431, "http1.headers_too_large"),
    (501, "http1.invalid_transfer_encoding"), (503, "overload"), (0, "http2.too_many_headers"),
])
def test_line_without_route_is_a_refusal(status: int, details: str) -> None:
    """Envoy's word says why, and no system is blamed."""
    found = entry(s=status, d=details)
    assert refusal(found) == details
    assert classify(found) is None


def test_body_that_ceases_to_be_http_is_no_systems_request() -> None:
    """A broken chunk ends a request that a system had begun to get; it did nothing wrong."""
    found = entry(r="baseline:0:unsafe", c="baseline", h="127.0.0.1:1", n=1)
    assert refusal(found) == "http1.codec_error"
    assert classify(found) is None


@pytest.mark.parametrize("changes", [
    {"s": 0, "f": "DR", "d": "http2.remote_reset"},
    {"r": "baseline:0:safe", "h": "127.0.0.1:1", "f": "UPE", "s": 502,
     "d": "upstream_reset_before_response_started{protocol_error}"},
    {"r": "baseline:0:safe", "h": "127.0.0.1:1", "c": "baseline", "s": 404, "d": "via_upstream"},
    {"r": "baseline:0:safe", "s": 503, "f": "UH", "d": "no_healthy_upstream"},
    {"r": "maintenance:0:all", "s": 503, "d": "direct_response"},
    {"s": 0, "f": "DC", "d": "downstream_remote_disconnect"},
    {"s": 408, "f": "SI", "d": "stream_idle_timeout"},
], ids=str)
def test_everything_else_is_none(changes: dict[str, object]) -> None:
    """A system's 4xx, no system at all, maintenance, and users who went away or never finished."""
    assert refusal(entry(**changes)) is None


@pytest.mark.parametrize(("details", "reason"), [
    (None, "unknown"), ("reset{remote}", "reset"), ("x" * 1000, "x" * 60),
])
def test_reasons_are_few_and_short(details: str | None, reason: str) -> None:
    """A reason is a key in the store: no addresses in it, and no endless texts."""
    assert refusal(entry(d=details)) == reason
