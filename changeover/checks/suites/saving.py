"""Between checks and the store: what is kept of a check, and the scene of a running migration."""

from __future__ import annotations

from pathlib import Path

from changeover.checks.suites.outcome import CheckRun, Scene
from changeover.domain.suites import SuiteCheck
from changeover.gateway.publish import Gateway
from changeover.plan.model import Plan
from changeover.site.home import Home
from changeover.store.engine import Store


def scene_of(home: Home, plan: Plan, store: Store) -> Scene:
    """Return where the checks of a running migration look."""
    settings = home.settings()
    known = settings.get("processes", {})
    pids = {name: int(known[name]["pid"]) for name in ("baseline", "candidate") if name in known}
    folder = Path(settings.get("plan") or ".").absolute().parent
    return Scene(plan, folder, store, Gateway(home.gateway_files), pids)


def as_stored(run_id: int, run: CheckRun) -> SuiteCheck:
    """Return what the store keeps of a check."""
    return SuiteCheck(
        run_id=run_id, number=run.number, name=run.name, kind=run.kind,
        verdict=str(run.outcome.verdict), reason=run.outcome.reason,
        evidence=run.outcome.evidence, started_at=run.started_at, seconds=run.seconds,
    )
