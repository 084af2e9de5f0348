"""Telling people when the way back comes to be at risk, and when it is well again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from changeover.domain.audit import NewEvent
from changeover.domain.capacity import Fit
from changeover.domain.messages import Message, Severity
from changeover.plan.model import Plan
from changeover.site import capacity_status
from changeover.site.site import Site
from changeover.store import audit, messages

AT_RISK, WELL = "way_back.at_risk", "way_back.well"
KINDS = (AT_RISK, WELL)
AS_BEFORE = "nothing makes the baseline smaller any more"
_SEVERITIES = {Fit.DOES_NOT: Severity.CRITICAL, Fit.UNKNOWN: Severity.WARNING}


def can_shrink(plan: Plan) -> bool:
    """Whether a lever of the plan makes the baseline smaller: else there is nothing to tell."""
    return any(lever.shrinks for lever in plan.levers.values())


def tell_of_way_back(site: Site, *, now: datetime) -> bool:
    """Notify people when the way back has come to be at risk, or is well again; return whether so.

    1. What was told last is in the audit. Nothing is told while the judgement is still that.
    2. The event and the message are saved in one transaction, under the audit's lock, in which
       the audit is asked again: two observers, or one after a kill, tell it once.

    Raises:
        StoreError: The store cannot be used.
    """
    room = capacity_status.collect(site.store, site.plan, now=now)
    kind = WELL if room is None or room["fit"] == Fit.FITS else AT_RISK
    # mostly nothing has changed: then nobody has to wait in line to write
    with site.store.read() as session:
        if not _is_news(session, site.migration, kind):
            return False
    with site.store.begin() as session:
        audit.lock(session, site.migration)
        if not _is_news(session, site.migration, kind):
            return False
        _save(session, site, kind, room, now)
    return True


def _is_news(session: Session, migration: str, kind: str) -> bool:
    told = audit.newest_kind_in(session, migration, KINDS)
    # before anything was told it was well
    return kind != (told or WELL)


def _save(
    session: Session, site: Site, kind: str, room: dict[str, Any] | None, now: datetime
) -> None:
    body = room["text"] if room else AS_BEFORE
    audit.append(session, site.migration, NewEvent(
        actor="observer", kind=kind, at=now, data={"reason": body}))
    if not site.plan.notify:
        return
    title, severity = f"the way back of {site.migration} is well again", Severity.INFO
    if kind == AT_RISK and room is not None:
        title = f"the way back of {site.migration} is at risk"
        severity = _SEVERITIES[Fit(room["fit"])]
    # the audit says whether it is news: the same may be told again within minutes
    messages.put_in(session, Message(
        site.migration, key=f"{title} {now.isoformat()}", severity=severity, title=title,
        body=body, at=now))
