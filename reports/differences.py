"""What differs between the two systems' answers, as cells for pages and tables. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from changeover.shadow.findings import Finding, Findings
from reports import text

MOST_PLACES = 50
"""Places that a page shows; the rest is in JSON."""


def coverage_line(found: Findings) -> str:
    """Return how much stands behind the scores, in one sentence."""
    counts = dict(found.coverage)
    seen, compared = counts.pop("seen", 0), counts.pop("compared", 0)
    matched, paired = counts.pop("matched", 0), counts.pop("paired", 0)
    left = "; ".join(f"{name}: {text.count(number)}" for name, number in sorted(counts.items()))
    rate = text.share(found.match_rate)
    return (
        f"{text.count(compared)} of {text.count(seen)} copied requests were compared, "
        f"{text.count(matched)} ({rate}) match; for {text.count(paired)} the baseline was asked "
        f"twice" + (f"; {left}" if left else "")
    )


def latency_line(found: Findings) -> str:
    """Return both systems' median for the same requests."""
    if found.latency is None:
        return "no latencies of the same requests yet"
    baseline, candidate = (text.milliseconds(seconds) for seconds in found.latency)
    return f"median of the same requests: baseline {baseline}, candidate {candidate}"


def place_cells(finding: Finding) -> tuple[str, ...]:
    """Return judgement, place, rate, the baseline's noise, kinds and rules, advice."""
    verdict, place = finding.verdict, finding.place
    kinds = [f"{kind} {text.count(n)}" for kind, n in sorted(place.counts.items())]
    # a place that only rules know shows at least how often they hid something
    if place.ignored or not kinds:
        kinds.append(f"ignored {text.count(place.ignored)}")
    said = "; ".join([", ".join(kinds), *(f"rule {rule}" for rule in finding.rules)])
    return (
        str(verdict.judgement), place.field, text.share(verdict.rate),
        text.share(verdict.noise_rate), said, finding.suggestion,
    )


PLACE_HEAD = ("Judgement", "Place", "Differs", "Baseline's noise", "Kinds, and rules there",
              "What to do")


def side_by_side(example: Mapping[str, Any]) -> tuple[Markup, Markup]:
    """Return both values of an example with the part that differs marked."""
    values = [example.get(side) for side in ("baseline", "candidate")]
    if None in values:
        missing = Markup('<em class="muted">missing</em>')
        first, second = (missing if v is None else _marked(str(v), 0, 0) for v in values)
        return first, second
    a, b = str(values[0]), str(values[1])
    start = _shared(a, b)
    # looked for behind the shared beginning only: `aa` and `aaa` share no end then
    end = _shared(a[start:][::-1], b[start:][::-1])
    return _marked(a, start, end), _marked(b, start, end)


def _shared(a: str, b: str) -> int:
    """Return the length of what both begin with."""
    pairs = enumerate(zip(a, b, strict=False))
    return next((at for at, (x, y) in pairs if x != y), min(len(a), len(b)))


def _marked(value: str, start: int, end: int) -> Markup:
    stop = len(value) - end
    before, middle, after = (escape(part) for part in
                             (value[:start], value[start:stop], value[stop:]))
    return before + Markup("<mark>") + middle + Markup("</mark>") + after


def as_markdown(found: Findings) -> str:
    """Return the section for the Markdown report and the Prefect UI."""
    lines = [text.markdown(coverage_line(found)), text.markdown(latency_line(found))]
    if found.findings:
        rows = [place_cells(each) for each in found.findings[:MOST_PLACES]]
        lines.append(text.markdown_table(PLACE_HEAD, rows))
    else:
        lines.append("Nothing differs.")
    left = len(found.findings) - MOST_PLACES
    if left > 0:
        lines.append(f"and {left} further places")
    return "\n\n".join(lines)
