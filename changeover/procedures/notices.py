"""Notifying people through the store: the observer sends it, nobody waits."""

from __future__ import annotations

from changeover import clock
from changeover.domain.messages import Message, Severity
from changeover.site.site import Site
from changeover.store import messages


def notify(
    site: Site, title: str, body: str, severity: Severity = Severity.INFO, *, key: str = "",
    is_once: bool = True,
) -> None:
    """Have everyone notified whom the plan's `notify` names.

    Args:
        site: The migration.
        title: One line.
        body: What there is to say about it.
        severity: How urgent it is.
        key: What it is about, by default the title.
        is_once: Whether it is sent once for a key; else the same is sent again after a while.
    """
    if site.plan.notify:
        messages.put(site.store, Message(
            site.migration, key=key or title, severity=severity, title=title, body=body,
            at=clock.now()), is_once=is_once)
