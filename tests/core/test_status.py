"""What people read of the status."""

from __future__ import annotations

from changeover.site.status import refused_text


def test_refusals_are_told_with_the_most_frequent_reason_first() -> None:
    """The number, of how many, and Envoy's words."""
    told = refused_text({"requests": 1200, "reasons": {"missing_host_header": 1, "not_http": 4}})
    assert told == "refused 5 of 1200 requests: 4 not_http, 1 missing_host_header"
