"""Since when files can be the candidate's."""

from __future__ import annotations

from datetime import datetime

from changeover import clock
from changeover.site.site import Site
from changeover.store import cutovers


def candidate_start(site: Site) -> datetime | None:
    """Return when the candidate's process started or the newest cutover began, the earlier one.

    Returns:
        None when neither ever happened: then nobody knows whose files are.
    """
    # the process may be younger (restarted), or the cutover (the candidate ran long before)
    entry = site.home.process("candidate")
    times = [clock.from_timestamp(float(entry["created"]))] if entry else []
    newest = cutovers.latest(site.store, site.migration)
    if newest is not None:
        times.append(newest.started_at)
    return min(times, default=None)
