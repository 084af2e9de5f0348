"""The audit's events as others are told of them: names, ids, and what each of them says. Pure.

Prefect's event feed and webhooks (`notify.relaying`) get the same events under the same names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from changeover.domain.audit import AuditEvent
from changeover.plan.decisions import KINDS

PREFIX = "changeover."
"""What a decision's name begins with outside of the audit: `changeover.stage.promoted`."""
_LONGEST_TEXT = 2_000
MOST_BYTES = 48_000
"""Of an event's data as JSON: receivers of CloudEvents must take 64 KB, no more."""

def event_id(event: AuditEvent) -> UUID:
    """Return the id that an event has everywhere, however often it is sent."""
    # the hash is of everything before it, too: two stores never give the same id
    return uuid5(NAMESPACE_URL, f"changeover:{event.migration}:{event.seq}:{event.hash}")


def name_of(event: AuditEvent) -> str:
    """Return an event's name outside of the audit."""
    return f"{PREFIX}{event.kind}"


def is_told(event: AuditEvent, wanted: Sequence[str] = ("*",)) -> bool:
    """Whether an event is sent to somebody who wants kinds like these.

    Args:
        event: An event of the audit.
        wanted: Kinds, or patterns such as `stage.*`.
    """
    return event.kind in KINDS and any(fnmatchcase(event.kind, each) for each in wanted)


def data_of(event: AuditEvent) -> dict[str, Any]:
    """Return what an event says, for others: at most `MOST_BYTES` as JSON.

    Keys: `migration`, `seq` (its place in the audit), `kind`, `actor`, `hash` (its link in the
    audit's chain), `facts` (what the audit says of this kind), and `is_cut` when some of the facts
    were too long and are left out.
    """
    data = {"migration": event.migration, "seq": event.seq, "kind": event.kind,
            "actor": event.actor, "hash": event.hash, "facts": _short(event.data)}
    if _size(data) <= MOST_BYTES:
        return data
    # the reason and the numbers matter most; evidence is in the store
    kept, room = {}, MOST_BYTES // 2
    for name, value in data["facts"].items():
        room -= len(name) + _size(value)
        if room > 0 and not isinstance(value, (dict, list)):
            kept[name] = value
    return {**data, "facts": kept, "is_cut": True}


def subject_of(event: AuditEvent) -> str:
    """Return what an event is about, as `gradual-25`, `trigger errors`; empty: the migration."""
    facts = event.data
    for key, words in _SUBJECTS.items():
        if found := facts.get(key):
            return f"{words}{found}"
    return ""


_SUBJECTS = {"stage": "", "trigger": "trigger ", "flag": "flag ", "lever": "lever ",
             "suite": "suite ", "to": "", "cutover": "cutover ",
             "rollback": "rollback "}


def is_late(event: AuditEvent, now: datetime, *, after_seconds: float) -> bool:
    """Whether an event is told so late that nothing should be done about it by itself."""
    return (now - event.at).total_seconds() > after_seconds


def _short(value: Any) -> Any:
    """Return a value with its long texts cut."""
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        return f"{value[:_LONGEST_TEXT]}…"
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_short(each) for each in value]
    return value


def _size(value: Any) -> int:
    return len(json.dumps(value).encode())
