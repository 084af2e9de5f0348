"""Before the first user moves: the backup, and the way back that needs nothing of us."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from changeover import clock
from changeover.backup.from_plan import items_of, place_of, refuse_scratch
from changeover.backup.items import Progress
from changeover.backup.places import keep
from changeover.domain.procedures import StepStatus
from changeover.errors import ChangeoverError, EnvironmentProblem, Refused, StoreError
from changeover.plan.units import format_size
from changeover.procedures import retirement_note, rollback_script, sharing
from changeover.procedures.steps import CutoverRun, Found
from changeover.site.site import Site
from changeover.store import main_gateways

LOG = logging.getLogger("changeover.preparation")
WAY_BACK, ELSEWHERE = "rollback.sh", "elsewhere"
"""The step that writes the script, and the fact that a flow on another machine could not."""


def back_up(run: CutoverRun, show: Callable[[int], Callable[[Progress], None]]) -> str:
    """Make the plan's backup and restore it into a scratch place to see that it is good.

    Args:
        run: The cutover.
        show: Given the number of items, returns what reports the progress.

    Returns:
        Where it is; empty when the plan wants none.

    Raises:
        Refused: It could not be made or is not good; nobody was moved.
    """
    site = run.site
    if site.plan.cutover.backup is None:
        return ""

    def make() -> Found:
        refuse_scratch(site)
        items = items_of(site)
        name = f"{site.migration}-{run.subject}"
        report = show(len(items))
        # restored into a scratch place: a backup that nobody restored is only a hope
        kept = keep(items, place_of(site), name=name, now=clock.now(), report=report)
        bad = [f"{item.name}: {item.detail}" for item in kept.checked.items if not item.is_good]
        if bad:
            raise ChangeoverError(f"the backup {kept.where} is not good: {'; '.join(bad)}")
        size = format_size(sum(item.size for item in kept.backup.items))
        detail = f"{len(kept.backup.items)} items, {size}, verified by restoring them"
        return detail, {"path": kept.where}

    found = run.once("backup", make)
    if found.status is not StepStatus.DONE:
        why = f"not begun because {found.detail}"
        raise Refused(
            why, next_step="Mend it and run cutover/main again; nobody was moved")
    return str(found.data["path"])


def renew_way_back(run: CutoverRun, undo: Sequence[str]) -> None:
    """Write `rollback.sh` anew, with the levers that undo what hooks did, newest first.

    Here and in the store only: a lever waits for it, and a target may hang (`copy_way_back`).

    Raises:
        EnvironmentProblem: It cannot be written; the former one stays.
        StoreError: It cannot be saved.
    """
    site = run.site
    # the main machine's observer does it within seconds: see `main_files`
    if site.is_elsewhere:
        return
    rollback_script.write_rollback_script(
        site.plan, site.home.gateway_files, _folder(run), undo=undo)
    _save_way_back(run)


def copy_way_back(run: CutoverRun) -> None:
    """Copy the script and what lies beside it to the plan's target, for a time at most.

    Nothing is raised: what was done before counts, and what is left is copied with the next report.
    """
    try:
        problem = sharing.deliver(run.site)
    except StoreError as error:
        problem = f"rollback.sh is not copied: {error}"
    if problem:
        LOG.warning(problem)


def _folder(run: CutoverRun) -> Path:
    return run.site.home.root / "rollback" / run.subject


def write_way_back(run: CutoverRun) -> str:
    """Write `rollback.sh`, which needs nothing of us to run, and say where it is.

    Raises:
        EnvironmentProblem: It cannot be written.
    """
    site = run.site
    folder, files = _folder(run), site.home.gateway_files

    def write() -> Found:
        if site.is_elsewhere:
            return _left_to_others(site), {"path": "", ELSEWHERE: True}
        # of an earlier migration's baseline
        retirement_note.forget(files)
        path = rollback_script.write_rollback_script(site.plan, files, folder)
        said = f"sh {path} brings everyone back without Prefect and database"
        return said, {"path": str(path)}

    found = run.once(WAY_BACK, write)
    if found.status is not StepStatus.DONE:
        raise EnvironmentProblem(found.detail)
    _save_way_back(run)
    copy_way_back(run)
    return found.detail


def _save_way_back(run: CutoverRun) -> None:
    """Save the script and what lies beside it, for the day on which this disk is gone."""
    folder = f"rollback/{run.site.migration}-{run.subject}"
    sharing.save(run.site, {
        f"{folder}/{name}": (_folder(run) / name).read_bytes()
        for name in rollback_script.FILES if (_folder(run) / name).exists()})


def _left_to_others(site: Site) -> str:
    """Return who writes the script in place of a flow on another machine than the gateway's."""
    on_nodes = ("`changeover rollback --break-glass` on a gateway node's machine, with the node's "
                "home, brings its users back")
    if main_gateways.find(site.store, site.migration) is None:
        return f"rollback.sh is not written, since there is no main machine: {on_nodes}"
    return ("the observer of `changeover up` writes rollback.sh on its machine within seconds; "
            f"{on_nodes}")
