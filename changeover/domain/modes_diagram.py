"""The modes and the ways between them, drawn for docs/modes.md from the rules themselves. Pure.

`python -m changeover.domain.modes_diagram` prints what stands between the marks of that page.
"""

from __future__ import annotations

import sys

from changeover.domain.routing import (
    SPLIT,
    TRANSITIONS,
    Change,
    Mode,
    RoutingState,
    apply,
    decide,
)
from changeover.errors import TransitionRefused

_WORDS = {
    Mode.BASELINE_ONLY: "the baseline answers everyone; where every migration starts",
    Mode.SHADOW: "as before; the candidate gets copies of a sample and its answers are compared",
    Mode.PARALLEL: "both process everything; users get the baseline's answer",
    Mode.GRADUAL: "a percentage of users and the named segments get the candidate",
    Mode.CANDIDATE_ONLY: "the candidate answers everyone",
    Mode.RETURNING: "a rollback in steps: ever fewer users get the candidate; ends by itself",
    Mode.EMERGENCY_ROLLBACK: "the baseline answers everyone until a person says so",
}


def markdown() -> str:
    """Return the diagram, the modes, and every way that is closed with its reason."""
    return "\n\n".join(("```mermaid\n" + diagram() + "\n```", _modes(), _refusals()))


def diagram() -> str:
    """Return the state diagram in Mermaid's language."""
    lines = ["stateDiagram-v2", f"    [*] --> {Mode.BASELINE_ONLY}"]
    for before in Mode:
        for after in Mode:
            if after in TRANSITIONS[before]:
                who = ": a person" if before is Mode.EMERGENCY_ROLLBACK else ""
                lines.append(f"    {before} --> {after}{who}")
    return "\n".join(lines)


def _modes() -> str:
    rows = ["| mode | what it does | who may act on an item (claims) | from here to |",
            "|---|---|---|---|"]
    for mode in Mode:
        ways = ", ".join(f"`{after}`" for after in Mode if after in TRANSITIONS[mode])
        rows.append(f"| `{mode}` | {_WORDS[mode]} | {_entitled(mode)} | {ways} |")
    return "\n".join(rows)


def _entitled(mode: Mode) -> str:
    if mode in SPLIT:
        return "the system that the item's key is routed to"
    if mode is Mode.CANDIDATE_ONLY:
        return "the candidate; the baseline only what is handed to it"
    return f"the {decide(RoutingState('m', mode), 'anyone')}"


def _refusals() -> str:
    """Ask the rule itself about every pair, so that the page cannot say anything else."""
    rows = ["| from | to | refused because |", "|---|---|---|"]
    for before in Mode:
        for after in Mode:
            try:
                apply(RoutingState("m", before), Change(mode=after, is_by_person=True))
            except TransitionRefused as refused:
                why = refused.what.partition(" because ")[2]
                rows.append(f"| `{before}` | `{after}` | {why} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(markdown() + "\n")
