"""A suite's results as JUnit XML, which every CI system reads. Pure.

Source: the format of the Jenkins xUnit plugin (junit-10.xsd).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol
from xml.etree import ElementTree as Xml

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Result(Protocol):
    """What is known of one check."""

    @property
    def name(self) -> str:
        """Name within its suite."""
        ...

    @property
    def kind(self) -> str:
        """Kind of check."""
        ...

    @property
    def verdict(self) -> str:
        """`pass`, `fail` or `inconclusive`."""
        ...

    @property
    def reason(self) -> str:
        """The sentence with the numbers."""
        ...

    @property
    def seconds(self) -> float:
        """How long it took."""
        ...


def junit_xml(suite: str, results: Sequence[Result]) -> str:
    """Return the document; an inconclusive check is an error, as it is no pass."""
    verdicts = [str(result.verdict) for result in results]
    root = Xml.Element("testsuites")
    top = Xml.SubElement(
        root, "testsuite", name=suite, tests=str(len(results)),
        failures=str(verdicts.count("fail")), errors=str(verdicts.count("inconclusive")),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = Xml.SubElement(top, "testcase", classname=f"{suite}.{result.kind}",
                              name=_clean(result.name), time=f"{result.seconds:.3f}")
        tag = {"fail": "failure", "inconclusive": "error"}.get(str(result.verdict))
        if tag:
            Xml.SubElement(case, tag, message=_clean(result.reason)).text = _clean(result.reason)
        else:
            Xml.SubElement(case, "system-out").text = _clean(result.reason)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
