"""JUnit XML of a suite."""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from changeover.checks.suites.junit import junit_xml
from changeover.domain.suites import SuiteCheck
from changeover.domain.verdict import Verdict


def found(name: str, verdict: Verdict, reason: str) -> SuiteCheck:
    """Return one check's result."""
    return SuiteCheck(
        run_id=1, number=0, name=name, kind="http", verdict=verdict, reason=reason, evidence={},
        started_at=datetime(2026, 1, 1, tzinfo=UTC), seconds=0.5)


def test_verdicts_are_told_apart() -> None:
    """A failure is a failure, and what could not be decided an error."""
    text = junit_xml({"staging": [
        found("a", Verdict.PASS, "fine"), found("b", Verdict.FAIL, "bad"),
        found("c", Verdict.INCONCLUSIVE, "who knows")]})
    suite = ElementTree.fromstring(text)[0]  # noqa: S314  our own
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert [case[0].tag for case in suite] == ["system-out", "failure", "error"]


def test_several_suites_are_one_document() -> None:
    """A report of a whole deployment has a part for each suite, in order."""
    fine = found("a", Verdict.PASS, "fine")
    root = ElementTree.fromstring(junit_xml({"unit": [fine], "smoke": [fine, fine]}))  # noqa: S314
    assert [(part.get("name"), part.get("tests")) for part in root] == [
        ("unit", "1"), ("smoke", "2")]


@given(st.text(), st.sampled_from(Verdict))
def test_any_text_is_readable_xml(text: str, verdict: Verdict) -> None:
    """Whatever a system answered, the document can be read."""
    ElementTree.fromstring(junit_xml({"staging": [found(text, verdict, text)]}))  # noqa: S314
