"""Statuses as a plan names them: codes, classes and lists of both."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from changeover.plan.conditions import CheckSpec
from changeover.plan.metrics import METRICS
from changeover.plan.statuses import has_status, is_reading, parse_statuses, statuses_of

NAMES = st.one_of(st.integers(100, 599).map(str), st.sampled_from(["2xx", "4xx", "5xx"]))


def check(**parts: Any) -> CheckSpec:
    """Return a check of at most 1 %."""
    return CheckSpec.model_validate({"metric": "status_rate", "at_most": "1%", **parts})


@pytest.mark.parametrize(("status", "reading", "words"), [
    (404, "status_rate 404", "answers 404"),
    ("4XX", "status_rate 4xx", "answers 4xx"),
    (["403", 401, 401], "status_rate 401 403", "answers 401 or 403"),
], ids=["code", "class", "list"])
def test_status_rate_is_shown_with_its_statuses(status: object, reading: str, words: str) -> None:
    """Where the metric is named, one sees what is counted."""
    assert check(status=status).measured.name == reading
    assert METRICS[reading].words == words


def test_grpc_status_is_shown_with_its_statuses() -> None:
    """Names in any case, as gRPC's libraries write them."""
    asked = check(metric="grpc_status", status=["unavailable", "INTERNAL"])
    assert asked.measured.name == "grpc_status INTERNAL UNAVAILABLE"
    assert METRICS[asked.measured.name].words == "answers of gRPC INTERNAL or UNAVAILABLE"
    assert is_reading(asked.measured.name)


@pytest.mark.parametrize(("parts", "words"), [
    ({}, "needs `status`"),
    ({"metric": "grpc_status"}, "grpc_status needs `status`: one of OK, CANCELLED, UNKNOWN"),
    ({"metric": "grpc_status", "status": 503}, "grpc_status needs `status`: one of OK"),
    ({"status": "UNAVAILABLE"}, "status_rate needs `status`: a code"),
    ({"status": "BROKEN"}, "allowed are codes from 100 to 599 .* and for grpc_status OK"),
    ({"status": 404, "metric": "error_rate"}, "works with status_rate and grpc_status only"),
    ({"status": "6xx"}, "'6xx' is no status"),
    ({"status": 99}, "'99' is no status"),
    ({"status": []}, "`status` is empty"),
    ({"metric": "status_rate 404"}, "unknown metric"),
])
def test_what_is_no_status_is_refused(parts: dict[str, Any], words: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(ValidationError, match=words):
        check(**parts)


@given(st.lists(NAMES, min_size=1, max_size=5))
def test_reading_says_which_statuses_are_counted(names: list[str]) -> None:
    """Nothing is lost between the plan and the name under which it is measured and stored."""
    named = parse_statuses(names)
    reading = check(status=names).measured.name
    assert statuses_of(reading) == named
    assert is_reading(reading)


@given(st.integers(100, 599))
def test_class_has_exactly_its_codes(code: int) -> None:
    """4xx is 400 to 499."""
    assert has_status(str(code), ["4xx"]) is (400 <= code < 500)


def test_check_with_statuses_comes_back_from_the_store_as_it_was() -> None:
    """A verdict is stored with its check, and recomputed by it."""
    asked = check(status=[404, "5xx"], segment="beta")
    document = asked.model_dump(mode="json", exclude_defaults=True)
    assert CheckSpec.model_validate(document) == asked
