"""Where reports were written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Report:
    """A rendered report's files. `subject` is `cutover`, `rollback` or `status`."""

    migration: str
    subject: str
    cutover_id: int | None
    at: datetime
    html_path: str
    markdown_path: str
    json_path: str
