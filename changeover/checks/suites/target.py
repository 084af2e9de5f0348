"""What checks examine: two systems by their plan, and the running migration when there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from changeover.plan.model import Plan
from changeover.site.site import Site


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """A plan, the folder that its paths are relative to, and what runs.

    `site` is None when checks run before `changeover up`: no store and no gateway then.
    """

    plan: Plan
    folder: Path
    site: Site | None = None

    @classmethod
    def of(cls, site: Site) -> CheckTarget:
        """Return a running migration as the target of checks.

        Raises:
            EnvironmentProblem: The settings of the home cannot be read.
        """
        return cls(site.plan, site.folder, site)

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids of the systems that `changeover up` started."""
        return self.site.pids if self.site else {}

    def url(self, host: str) -> str:
        """Return the address of the baseline, the candidate or the gateway."""
        if host == "gateway":
            return f"http://{self.plan.routing.listen}"
        return self.plan.system(host).url.rstrip("/")
