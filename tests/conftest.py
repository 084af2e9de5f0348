"""Who runs what when: tests of whole sites one after the other, beside them all the others.

Made-up examples have all the time they need: a busy machine pauses any process. CI makes more of
them than a developer waits for (`--hypothesis-profile=thorough`).

Files are handed to the workers whole and in this order (`--dist loadfile --no-loadscope-reorder`).
At the end come the whole migrations, two at a time and beside nothing else: their limits are those
of a real plan (milliseconds, megabytes), which a machine that is busy with other tests breaks.
"""

from __future__ import annotations

import gc
from pathlib import PurePath

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

from tests.support.second_try import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]

settings.register_profile("thorough", deadline=None, print_blob=True,
                          suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("thorough"), max_examples=25)
settings.load_profile("quick")  # `.ci/run` asks for the thorough one


def _is_of_site(path: str) -> bool:
    return "flows" in PurePath(path).parts


def _is_migration(path: str) -> bool:
    return "migrations" in PurePath(path).parts


def _rank(item: pytest.Item) -> int:
    path = item.nodeid.partition("::")[0]
    if _is_migration(path):
        return 4
    if item.get_closest_marker("chaos"):
        return 0
    if _is_of_site(path):
        return 1
    return 2 if item.get_closest_marker("integration") else 3


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests with the longest files first; among those of a rank the order stays."""
    items.sort(key=_rank)


class OneSiteAtATime(LoadFileScheduling):
    """Gives the first worker the files of whole sites, and the others all other files.

    A site keeps more than one core busy: two of them beside each other only wait for each other. A
    worker whose own files are used up helps with the others'. When only whole migrations are left,
    workers end, and the last two run them: each stack mostly waits.
    """

    def _assign_work_unit(self, node: WorkerController) -> None:
        ordinary = [path for path in self.workqueue if not _is_migration(path)]
        others = [each for each in self.nodes if each is not node and not each.shutting_down]
        if not ordinary and len(others) > 1:
            node.shutdown()
            return
        is_first = node is self.nodes[0]
        own = [path for path in ordinary if _is_of_site(path) == is_first] or ordinary
        if own:
            self.workqueue.move_to_end(own[0], last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Hand out whole files; other ways of distribution are left to xdist."""
    return OneSiteAtATime(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """Keep what was collected out of the garbage collector's sight: thousands of tests."""
    gc.collect()
    gc.freeze()
