"""Results of suites as JUnit XML, which every CI system reads. Pure.

Source: the format of the Jenkins xUnit plugin (junit-10.xsd).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as Xml

from changeover.domain.suites import SuiteCheck
from changeover.domain.verdict import Verdict

# XML 1.0 has no way at all to write these, not even escaped; answers may contain them.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAGS = {Verdict.FAIL: "failure", Verdict.INCONCLUSIVE: "error"}


def junit_xml(suites: Mapping[str, Sequence[SuiteCheck]]) -> str:
    """Return the document; an inconclusive check is an error, as it is no pass.

    Args:
        suites: The results of each suite by its name, in the order of the document.
    """
    root = Xml.Element("testsuites")
    for suite, results in suites.items():
        _add_suite(root, suite, results)
    Xml.indent(root)
    return Xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_suite(root: Xml.Element, suite: str, results: Sequence[SuiteCheck]) -> None:
    verdicts = [result.verdict for result in results]
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


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
