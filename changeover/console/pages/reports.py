"""The rendered reports of a migration, whichever machine rendered them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from changeover.console.pages.view import Look, View
from changeover.domain.report_files import SharedFile
from changeover.plan.units import format_size
from changeover.store import shared_files

_ENDINGS = ("html", "md", "json", "xml")
KEPT_SECONDS = 2.0


def collect(look: Look) -> dict[str, Any]:
    """Return what the list shows."""
    files = look.kept.get(
        "reports", KEPT_SECONDS, look.now.timestamp(),
        lambda: shared_files.every(look.site.store, look.migration))
    return {"rows": _rows([each for each in files if each.is_report]),
            "others": [each for each in files if not each.is_report],
            "has_target": look.site.plan.reports is not None}


VIEW = View("reports", "Reports", ("list",), collect)


def _rows(files: Sequence[SharedFile]) -> list[dict[str, Any]]:
    """Return a row for each report, the newest first, with its forms."""
    rows: dict[str, dict[str, Any]] = {}
    for file in files:
        name, _, ending = file.name.rpartition(".")
        row = rows.setdefault(name, {"name": name, "at": file.at, "forms": [], "copied": []})
        row["forms"].append((ending, file.name, format_size(file.size)))
        row["copied"].append(file)
    for row in rows.values():
        row["forms"].sort(key=lambda form: _ENDINGS.index(form[0]) if form[0] in _ENDINGS else 9)
        row["copied"] = _copied(row["copied"])
    return list(rows.values())


def _copied(files: Sequence[SharedFile]) -> dict[str, str]:
    """Return whether all of a report's files lie at the plan's target, in words."""
    if all(each.sent == each.sha256 for each in files):
        return {"tone": "pass", "text": files[0].sent_to}
    problems = [each.problem for each in files if each.problem]
    return {"tone": "fail" if problems else "", "text": problems[0] if problems else "not yet"}
