"""Health of the way back: whether the baseline, made smaller, could still take everyone."""

from __future__ import annotations

from changeover import clock
from changeover.checks.health.result import Health
from changeover.domain.capacity import Fit
from changeover.domain.health import Status
from changeover.site import capacity
from changeover.site.site import Site

_STATUS = {Fit.FITS: Status.HEALTHY, Fit.UNKNOWN: Status.WARNING, Fit.DOES_NOT: Status.UNHEALTHY}


def way_back(site: Site) -> Health:
    """Compare what the baseline bears with what arrives; well while nothing has made it smaller."""
    room = capacity.room_when_shrunk(site.store, site.plan, now=clock.now())
    if room is None:
        return Health(Status.HEALTHY, "nothing has made the baseline smaller")
    return Health(_STATUS[room.fit], room.text, room.document())
