"""What cannot reach a system that is not plain HTTP/1.1 is said, with its line and a remedy."""

from __future__ import annotations

import pytest

from tests.core.plan.test_load import GOOD, problems

HTTP2 = GOOD.replace("name: new,", "name: new, protocol: http2,")


@pytest.mark.parametrize(("suite", "expected"), [
    ("{kind: load, rates: [1]}", "load is sent in HTTP/1.1 to one address, and systems.candidate"),
    ("{kind: soak}", "load is sent in HTTP/1.1 to one address, and systems.candidate has"),
    ("{kind: openapi}", "kind: openapi cannot call systems.candidate"),
])
def test_check_that_speaks_http1_only_is_refused(suite: str, expected: str) -> None:
    """It would only ever fail."""
    found = problems(f"{HTTP2}suites:\n  own: [{suite}]\n")
    assert len(found) == 1
    assert "line 18, suites.own[0]" in found[0] and expected in found[0]


def test_load_on_the_system_itself_is_refused() -> None:
    """Through the gateway it works."""
    text = HTTP2.replace(
        "{percent: 10, soak: 1h}",
        "{percent: 10, soak: 1h, hooks: {during: [{load: own, of: OF}]}}"
    ) + "suites:\n  own: [{kind: load, rates: [1]}]\n"
    asked = [each for each in problems(text.replace("OF", "candidate")) if "during" in each]
    assert len(asked) == 1 and "of: gateway" in asked[0]
    assert not [each for each in problems(text.replace("OF", "gateway")) if "during" in each]
