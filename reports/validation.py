"""The report of a validation suite: HTML, JUnit XML, JSON, and Markdown for the Prefect UI."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from changeover.checks.suites.junit import junit_xml
from changeover.domain.suites import SuiteCheck, SuiteRun, SuiteVerdict
from changeover.domain.verdict import Verdict
from reports import text
from reports.render import environment

HEAD = ("Verdict", "Check", "Kind", "Took", "What was found")
_WORST_FIRST = ("fail", "inconclusive", "pass")


def rows(checks: Sequence[SuiteCheck]) -> list[tuple[str, ...]]:
    """Return the cells of each check, failures first."""
    found: list[tuple[str, ...]] = []
    for check in _in_order(checks):
        took = text.duration(check.seconds)
        found.append((text.status(check.verdict), check.name, check.kind, took, check.reason))
    return found


def _in_order(checks: Sequence[SuiteCheck]) -> list[SuiteCheck]:
    """Return checks with the worst first; alike ones in the plan's order."""
    return sorted(checks, key=lambda check: (_WORST_FIRST.index(check.verdict), check.number))


def sentence(run: SuiteRun, checks: Sequence[SuiteCheck]) -> str:
    """Return how the suite ended: `2 of 9 checks failed, 1 is inconclusive`."""
    verdicts = [check.verdict for check in checks]
    if run.verdict is SuiteVerdict.PASS:
        return f"all {len(checks)} checks passed"
    return (f"{verdicts.count(Verdict.FAIL)} of {len(checks)} checks failed, "
            f"{verdicts.count(Verdict.INCONCLUSIVE)} could not be decided")


def render_markdown(run: SuiteRun, checks: Sequence[SuiteCheck]) -> str:
    """Return the results as a Markdown table."""
    table = text.markdown_table(HEAD, rows(checks))
    title = f"# Suite {text.markdown(run.suite)}: {text.status(run.verdict)}"
    return f"{title}\n\n{text.markdown(sentence(run, checks))}\n\n{table}"


def render_json(run: SuiteRun, checks: Sequence[SuiteCheck]) -> str:
    """Return the results for programs: the run's fields and `checks` with their evidence."""
    content = {"format": 1, **asdict(run), "checks": [asdict(check) for check in checks]}
    return json.dumps(content, indent=1, default=str, ensure_ascii=False) + "\n"


def render_html(run: SuiteRun, checks: Sequence[SuiteCheck]) -> str:
    """Return the results as one page that needs nothing else."""
    return environment().get_template("validation.html.j2").render(
        run=run, sentence=sentence(run, checks), head=HEAD,
        rows=list(zip(rows(checks), _ordered_evidence(checks), strict=True)),
    )


def _ordered_evidence(checks: Sequence[SuiteCheck]) -> list[str]:
    return [json.dumps(check.evidence, indent=1, default=str, ensure_ascii=False)
            for check in _in_order(checks)]


def forms_of(run: SuiteRun, checks: Sequence[SuiteCheck]) -> dict[str, str]:
    """Return the report in all its forms, by the files' endings."""
    return {
        "html": render_html(run, checks), "md": render_markdown(run, checks),
        "json": render_json(run, checks), "xml": junit_xml({run.suite: checks}),
    }


def name_of(run: SuiteRun) -> str:
    """Return the name of its files, without ending."""
    return f"{run.migration}-{run.suite}-{run.id}"
