"""`changeover outcomes`: what applications reported of both systems, and which is better."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import click

from changeover import clock
from changeover.analysis.improvement import DURATION, SUCCESS, Improvement, improvements
from changeover.analysis.window import Window
from changeover.cli.common import Session, site_command
from changeover.domain.routing import System


@click.command(epilog="\b\nExamples:\n  changeover outcomes\n"
               "  changeover outcomes --hours 1 --output json")
@site_command
@click.option("--hours", type=click.FloatRange(min=0.01, max=24 * 366), default=24,
              show_default=True, help="How far back.")
def outcomes(session: Session, hours: float) -> None:
    """Compare what applications reported of both systems: success, duration, quality numbers."""
    from changeover.store import samples  # half of this command's imports

    site, now = session.site, clock.now()
    # what was accepted in the present second counts, too
    old, new = (samples.window(
        site.store, site.migration, system, start=now - timedelta(hours=hours),
        end=now + timedelta(seconds=1)) for system in System)
    found = improvements(old, new)
    session.show(_text(hours, old, new, found), _document(old, new, found))


def _text(hours: float, old: Window, new: Window, found: tuple[Improvement, ...]) -> str:
    lines = [f"outcomes of the last {hours:g} h: {old.outcomes} of the baseline, "
             f"{new.outcomes} of the candidate"]
    if not found:
        return f"{lines[0]}; to compare, both must have reported some"
    rows = [("", "baseline", "candidate", "candidate is better by")]
    rows += [(each.words, *each.texts) for each in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _document(
    old: Window, new: Window, found: tuple[Improvement, ...]
) -> dict[str, object]:
    """Return the comparison with the improvement of each number under a name of its own."""
    by = {f"{each.name}_improvement": each.by for each in found
          if each.name in (SUCCESS, DURATION)}
    qualities = {each.name: each.by for each in found if each.name not in (SUCCESS, DURATION)}
    return {
        "baseline": {"outcomes": old.outcomes, **{each.name: each.baseline for each in found}},
        "candidate": {"outcomes": new.outcomes, **{each.name: each.candidate for each in found}},
        "comparison": {**by, "quality_improvement": qualities},
        "numbers": [asdict(each) for each in found],
    }
