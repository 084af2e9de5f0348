"""Which segments a request or a user is in; that the gateway agrees is an integration test."""

from __future__ import annotations

import pytest

from changeover.domain.segment_matching import segments_of
from changeover.flags import conditions
from changeover.plan.segments import SegmentSpec

SEGMENTS = {name: SegmentSpec.model_validate(spec) for name, spec in {
    "beta": {"header": "x-cohort", "any_of": ["beta"]},
    "pro": {"cookie": "plan", "prefix": "pro-"},
    "trial": {"query": "plan", "regex": "trial-[0-9]+"},
    "guest": {"cookie": "plan", "present": False},
    "rest": {"header": "x-cohort", "any_of": ["beta"], "not": True},
}.items()}


@pytest.mark.parametrize(("headers", "path", "expected"), [
    ({}, "/", {"guest", "rest"}),
    ({"x-cohort": ["beta"]}, "/", {"beta", "guest"}),
    ({"x-cohort": ["alpha", " beta "]}, "/", {"beta", "guest"}),
    ({"cookie": ["a=b; plan=pro-7"]}, "/", {"pro", "rest"}),
    ({"cookie": ["plan="]}, "/?plan=trial-12", {"trial", "guest", "rest"}),
    ({}, "/?plan=trial-1x", {"guest", "rest"}),
    ({}, "/?plan=tri%61l-1", {"trial", "guest", "rest"}),
    ({}, "/?plan=trial-1%0A", {"guest", "rest"}),
])
def test_request_is_in_its_segments(
    headers: dict[str, list[str]], path: str, expected: set[str]
) -> None:
    """Whatever carries the value, and whether it is asked for or excluded."""
    def values(name: str) -> list[bytes]:
        return [each.encode() for each in headers.get(name, [])]

    assert segments_of(SEGMENTS, values, path.encode()) == expected


def test_applications_name_the_place() -> None:
    """A cookie and a parameter of one name are two attributes."""
    context = {"X-Cohort": "beta", "cookie.plan": "pro-1", "query.plan": "no"}
    found = {name for name, spec in SEGMENTS.items() if conditions.segment(spec)(context)}
    assert found == {"beta", "pro"}
