"""Whether this machine has what a plan's addresses for files need; no store is asked."""

from __future__ import annotations

from changeover.machine.remote_files import problem_of
from changeover.plan.model import Plan


def unreachable_kinds(plan: Plan) -> list[str]:
    """Return, for each address in a plan, why this machine can reach none of its kind."""
    targets = {"reports.target": plan.reports.target} if plan.reports else {}
    if plan.cutover.backup:
        targets["cutover.backup.target"] = plan.cutover.backup.target
    found = []
    for where, target in targets.items():
        if problem := problem_of(target):
            found.append(f"{where}: {problem}")
    return found
