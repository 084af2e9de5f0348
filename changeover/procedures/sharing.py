"""Files for everybody: into the store, and to the plan's target; neither ends a cutover.

Whoever shares waits for the store as for any of its writes, and for the target no longer than
`reports.within`. What could not be copied is copied with the next report, and people are told once
a day. A process that is killed in between leaves files that are not noted as copied, which are
copied again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from changeover import clock
from changeover.domain.messages import Severity
from changeover.domain.report_files import SharedFile
from changeover.errors import ChangeoverError
from changeover.machine.remote_files import RemoteFiles
from changeover.procedures.notices import notify
from changeover.site.site import Site
from changeover.store import shared_files

LOG = logging.getLogger("changeover.sharing")
SHORTEST = 0.5
"""Seconds that are worth a further file's try."""
AT_ONCE = 50
"""Files that one try copies: what a month away has left is copied by and by."""


def share(site: Site, contents: Mapping[str, str | bytes]) -> str:
    """Save files in the store, and copy them to the plan's target.

    Args:
        site: The migration.
        contents: By their names; a report has no folder before its name.

    Returns:
        What is not as it should be, in a sentence; mostly nothing.

    Raises:
        StoreError: They cannot be saved.
    """
    problems = [save(site, contents)]
    if problem := deliver(site):
        LOG.warning(problem)
        problems.append(problem)
    return "; ".join(filter(None, problems))


def save(site: Site, contents: Mapping[str, str | bytes]) -> str:
    """Save files in the store, and copy none: `deliver` does. Arguments and answer as of `share`.

    Raises:
        StoreError: They cannot be saved.
    """
    packed = {name: text.encode() if isinstance(text, str) else text
              for name, text in contents.items()}
    left_out = shared_files.save(site.store, site.migration, packed, now=clock.now())
    problem = "; ".join(f"{name} is too large for the store" for name in left_out)
    if problem:
        LOG.warning(problem)
    return problem


def deliver(site: Site) -> str:
    """Copy to the plan's target what is not there; return why not all of it is.

    A file that cannot be copied does not keep others from it: it has half of the time that is left
    while others follow, and comes last at the next try.

    Raises:
        StoreError: The store cannot be used.
    """
    spec = site.plan.reports
    if spec is None:
        return ""
    is_folder = "://" not in spec.target and not Path(spec.target).is_absolute()
    if site.is_elsewhere and is_folder:
        return f"reports are not copied: {spec.target} is a folder of the main machine's home"
    target, until = place_of(site), time.monotonic() + spec.within.total_seconds()
    files = shared_files.unsent(site.store, site.migration, target, most=AT_ONCE)
    remote = RemoteFiles(target, seconds=spec.within.total_seconds())
    problems: list[str] = []
    for number, file in enumerate(files):
        left, rest = until - time.monotonic(), len(files) - number
        # the first file is always tried
        if number and left < SHORTEST:
            why = problems[0] if problems else "there was no time for more (`reports.within`)"
            return _not_copied(site, len(problems) + rest, why)
        try:
            _copy(site, remote, file, left / 2 if rest > 1 else left)
        except ChangeoverError as error:
            problems.append(str(error))
            shared_files.note_sent(site.store, file, "", problem=str(error))
            # what hangs keeps its connection
            remote = RemoteFiles(target, seconds=spec.within.total_seconds())
    return _not_copied(site, len(problems), problems[0]) if problems else ""


def place_of(site: Site) -> str:
    """Return where the plan has reports copied to; a folder is relative to the home."""
    spec = site.plan.reports
    target = spec.target if spec else ""
    return target if "://" in target else str(site.home.root / target)


def _copy(site: Site, remote: RemoteFiles, file: SharedFile, seconds: float) -> None:
    found = shared_files.find(site.store, site.migration, file.name)
    # pruned meanwhile
    if found is None:
        return
    # at least a moment, however long the store took
    remote.put(file.name, found[1], seconds=max(0.1, seconds))
    shared_files.note_sent(site.store, found[0], remote.target)


def _not_copied(site: Site, count: int, why: str) -> str:
    """Tell people of files that are not copied, and return the same."""
    problem = f"{count} files are not copied: {why}"
    # once a day: each report of the night would say the same
    notify(site, f"reports of {site.migration} are not copied", problem, Severity.WARNING,
           key=f"reports-target {clock.now():%F}")
    return f"{problem}. They are copied with the next report"
