"""A suite's results as JUnit XML, which every CI system reads. Pure.

Source: the format of the Jenkins xUnit plugin (junit-10.xsd).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from changeover.domain.suites import SuiteCheck
from changeover.domain.verdict import Verdict

# XML 1.0 has no way at all to write these, not even escaped; answers may contain them.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAGS = {Verdict.FAIL: "failure", Verdict.INCONCLUSIVE: "error"}


def junit_xml(suite: str, results: Sequence[SuiteCheck]) -> str:
    """Return the document; an inconclusive check is an error, as it is no pass."""
    verdicts = [result.verdict for result in results]
    root = Xml.Element("testsuites")
    top = Xml.SubElement(
        root, "testsuite", name=suite, tests=str(len(results)),
        failures=str(verdicts.count(Verdict.FAIL)),
        errors=str(verdicts.count(Verdict.INCONCLUSIVE)),
        time=f"{sum(result.seconds for result in results):.3f}",
    )
    for result in results:
        case = Xml.SubElement(top, "testcase", classname=f"{suite}.{result.kind}",
                              name=_clean(result.name), time=f"{result.seconds:.3f}")
        reason = _clean(result.reason)
        if result.verdict is Verdict.PASS:
            Xml.SubElement(case, "system-out").text = reason
        else:
            Xml.SubElement(case, _TAGS[result.verdict], message=reason).text = reason
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
