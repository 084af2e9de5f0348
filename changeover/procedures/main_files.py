"""What lies beside the main gateway for the day on which nothing else works, for flows elsewhere.

A flow on the main machine writes `rollback.sh` and the note of a retired baseline itself. One on
another machine cannot: the main machine's observer does it, by what the flow noted in the store.
So it does on a machine that was set up anew after its disk was lost.
"""

from __future__ import annotations

from changeover import clock
from changeover.domain.procedures import of_cutover
from changeover.domain.rollout import Cutover
from changeover.plan.model import PhaseKind
from changeover.procedures import baseline, preparation, retirement_note
from changeover.procedures.hooks import undo_levers
from changeover.procedures.steps import CutoverRun
from changeover.site.site import Site
from changeover.store import cutovers, steps


class MainFiles:
    """Keeps the files of one home up to date; call `follow` every few seconds.

    Args:
        site: The migration on the main machine.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._written: tuple[int, tuple[str, ...]] | None = None

    def follow(self) -> None:
        """Write what a flow elsewhere left to this machine; takes as long as the target may.

        Raises:
            EnvironmentProblem: The script cannot be written; the former one stays.
            StoreError: The store cannot be read.
        """
        site = self._site
        cutover = cutovers.active(site.store, site.migration)
        if cutover is not None:
            self._write_way_back(cutover)
        elif site.plan.phase(PhaseKind.DEPRECATION) is not None and baseline.is_retired(site):
            retirement_note.note(site.home.gateway_files, site.plan, now=clock.now())
        # only now: a machine that was set up anew has no note before
        retirement_note.know(site.home.gateway_files)

    def _write_way_back(self, cutover: Cutover) -> None:
        site = self._site
        known = steps.one(
            site.store, site.migration, of_cutover(cutover.id), preparation.WAY_BACK)
        if known is None or not known.data.get(preparation.ELSEWHERE):
            return
        run = CutoverRun(site, cutover, cutover.flow_run_id or "")
        wanted = cutover.id, tuple(undo_levers(run))
        if wanted == self._written:
            return
        # of an earlier migration's baseline
        retirement_note.forget(site.home.gateway_files)
        preparation.renew_way_back(run, wanted[1])
        self._written = wanted
        # the target may be a folder of this home, which a flow elsewhere cannot write
        preparation.copy_way_back(run)
