"""Where reports were written, and the files that any machine may show."""

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


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file in the store, without its content.

    Args:
        migration: Whose file it is.
        name: A report's name with ending; what is no report has a folder before it.
        at: When it was written last.
        size: Bytes.
        sha256: Of its content.
        sent_to: The plan's target that it was copied to last; empty for none.
        sent: Digest of the content that lies there.
        problem: Why it could not be copied at the last try; empty when it could.
    """

    migration: str
    name: str
    at: datetime
    size: int
    sha256: str
    sent_to: str = ""
    sent: str = ""
    problem: str = ""

    @property
    def is_report(self) -> bool:
        """Whether it is a rendered report, and so for everybody who may read."""
        return "/" not in self.name

    def is_at(self, target: str) -> bool:
        """Whether this very content lies at a target."""
        return self.sent_to == target and self.sent == self.sha256
