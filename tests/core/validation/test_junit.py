"""JUnit XML of a suite."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from changeover.checks.suites.junit import junit_xml


@dataclass(frozen=True)
class Found:
    """One result."""

    name: str
    verdict: str
    reason: str
    kind: str = "http"
    seconds: float = 0.5


def test_verdicts_are_told_apart() -> None:
    """A failure is a failure, and what could not be decided an error."""
    text = junit_xml("staging", [Found("a", "pass", "fine"), Found("b", "fail", "bad"),
                                 Found("c", "inconclusive", "who knows")])
    suite = ElementTree.fromstring(text)[0]  # noqa: S314  our own
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [case[0].tag for case in suite] == ["system-out", "failure", "error"]


@given(st.text(), st.sampled_from(["pass", "fail", "inconclusive"]))
def test_any_text_is_readable_xml(text: str, verdict: str) -> None:
    """Whatever a system answered, the document can be read."""
    ElementTree.fromstring(junit_xml("staging", [Found(text, verdict, text)]))  # noqa: S314
