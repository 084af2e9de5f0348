"""What became of a validation suite that a procedure has run. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from changeover.domain.suites import SuiteVerdict


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """The verdict of a suite's run; `reason` is one sentence with what failed."""

    suite: str
    verdict: SuiteVerdict
    reason: str

    @property
    def is_passed(self) -> bool:
        """Whether every check passed."""
        return self.verdict is SuiteVerdict.PASS


def problems_of(suite: SuiteResult | None) -> list[str]:
    """Return why a suite did not pass; nothing when it did, or when the plan names none."""
    if suite is None or suite.is_passed:
        return []
    return [f"suite {suite.suite}: {suite.reason}"]
