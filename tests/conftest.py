"""Who runs what when: what only computes first, sites one after the other, whole migrations last.

Made-up examples have all the time they need: a busy machine pauses any process. CI makes more of
them than a developer waits for (`--hypothesis-profile=thorough`).

Files are handed to the workers whole and in this order (`--dist loadfile --no-loadscope-reorder`).
Whole migrations come at the end, two at a time: their limits are those of a real plan
(milliseconds, megabytes), which a machine that is busy with other tests breaks.
"""

from __future__ import annotations

import gc
from pathlib import PurePath

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

pytest_plugins = ["tests.support.in_time", "tests.support.second_try",
                  "tests.support.cpu_times", "tests.support.one_certificate",
                  "tests.support.patient_http"]

AT_A_TIME = 2
"""Whole migrations that run beside each other."""

settings.register_profile("thorough", max_examples=50, deadline=None, print_blob=True,
                          suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=25)
settings.load_profile("quick")  # `.ci/run` asks for the thorough one


def _parts(nodeid: str) -> tuple[str, ...]:
    return PurePath(nodeid.partition("::")[0]).parts


def _is_of_site(path: str) -> bool:
    return "flows" in _parts(path)


def _is_migration(path: str) -> bool:
    return "migrations" in _parts(path)


def _rank(item: pytest.Item) -> int:
    if _is_migration(item.nodeid):
        return 3
    if _is_of_site(item.nodeid) or item.get_closest_marker("chaos"):
        return 2
    return 1 if item.get_closest_marker("integration") else 0


def _minutes(item: pytest.Item) -> float:
    """Return what the file takes on a quiet machine, as far as it says so."""
    return float(getattr(getattr(item, "module", None), "TAKES_MINUTES", 0))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; among those of a rank that say nothing the order stays."""
    items.sort(key=lambda item: (_rank(item), -_minutes(item)))


class OneSiteAtATime(LoadFileScheduling):
    """Gives the first worker the files of whole sites, and the others all other files.

    A site keeps more than one core busy: two of them beside each other only wait for each other. A
    worker whose own files are used up helps with the others'. When only whole migrations are left,
    the last two workers run them.
    """

    def _reschedule(self, node: WorkerController) -> None:
        # not before its last test, which waits for the next file's first: a file that is handed
        # out early waits for one worker while others have nothing to do
        if not self.workqueue or self._pending_of(self.assigned_work[node]) <= 1:
            super()._reschedule(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        path = self._next(node)
        if path is None:
            node.shutdown()
            return
        self.workqueue.move_to_end(path, last=False)
        super()._assign_work_unit(node)

    def _next(self, node: WorkerController) -> str | None:
        """Return the file that a worker is to run; None when there is none for it."""
        is_first = node is self.nodes[0]
        ordinary = [path for path in self.workqueue if not _is_migration(path)]
        if ordinary:
            return next((path for path in ordinary if _is_of_site(path) == is_first), ordinary[0])
        others = [each for each in self.nodes if each is not node and not each.shutting_down]
        return None if len(others) >= AT_A_TIME else next(iter(self.workqueue), None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Hand out whole files; other ways of distribution are left to xdist."""
    return OneSiteAtATime(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """Collect thousands of tests without looking for garbage: it takes half of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Keep what was collected out of the garbage collector's sight."""
    gc.collect()
    gc.freeze()
    gc.enable()
