"""Automations of Prefect for a migration: tell people that it waits, roll back on an event.

As the documents that `prefect automation create --from-file` takes; `docs/automations` has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from changeover.domain.decisions import PREFIX
from changeover.domain.prefect_owner import owner_in
from changeover.errors import InvalidInput, Refused
from changeover.site.prefect_api import PrefectApi

ROLLBACK = "rollback/main"
_WAITS_SUBJECT = "{{ event.resource.name }} waits for a person: {{ event.payload.facts.stage }}"
_WAITS_BODY = """\
The cutover of {{ event.resource.name }} asks about {{ event.payload.facts.stage }} \
(answer {{ event.payload.facts.ordinal }}).
Open the run in Prefect, press Resume and fill in the form:
flow run {{ event.payload.facts.flow_run_id }}"""
_ROLLED_BACK_SUBJECT = "{{ event.resource.name }} was rolled back"
_ROLLED_BACK_BODY = """\
{{ event.payload.actor }} sent everyone back to the baseline: {{ event.payload.facts.reason }}"""
# others' events have the reason in their payload, ours in its facts
_REASON = """\
{% set why = event.payload.reason or (event.payload.facts or {}).reason %}\
{{ event.event }}{% if why %}: {{ why }}{% endif %}"""


@dataclass(frozen=True, slots=True)
class Ids:
    """What automations name by Prefect's ids.

    Args:
        rollback: The deployment `rollback/main`.
        block: The notification block; empty: nobody is notified by Prefect.
    """

    rollback: str
    block: str = ""


def automations(migration: str, ids: Ids, event: str = "") -> list[dict[str, Any]]:
    """Return a migration's automations.

    Args:
        migration: Its name.
        ids: What they name by id.
        event: Name of an event that rolls back; empty: none does.
    """
    found = []
    if ids.block:
        asked, started = f"{PREFIX}approval.asked", f"{PREFIX}rollback.started"
        found += [
            _notifies(f"{migration}: somebody is waited for", migration, asked, {
                "block_document_id": ids.block, "subject": _WAITS_SUBJECT, "body": _WAITS_BODY}),
            _notifies(f"{migration}: rolled back", migration, started, {
                "block_document_id": ids.block, "subject": _ROLLED_BACK_SUBJECT,
                "body": _ROLLED_BACK_BODY}),
        ]
    if event:
        found.append({
            "name": f"{migration}: roll back on {event}",
            "description": f"Sends everyone back to the baseline when {event} happens to "
                           f"changeover.migration.{migration}.",
            "trigger": _trigger(migration, event, acts=True),
            "actions": [{
                "type": "run-deployment", "source": "selected", "deployment_id": ids.rollback,
                "parameters": {"migration": migration, "reason": _REASON, "severity": "critical"},
            }],
        })
    return found


def _notifies(
    name: str, migration: str, event: str, message: dict[str, str]
) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"Notifies people when {event} happens to {migration}.",
        "trigger": _trigger(migration, event, acts=False),
        "actions": [{"type": "send-notification", **message}],
    }


def _trigger(migration: str, event: str, *, acts: bool) -> dict[str, Any]:
    match = {"prefect.resource.id": f"changeover.migration.{migration}"}
    # what is long over must not move anybody; others' events have no such label
    if acts and event.startswith(PREFIX):
        match["changeover.late"] = "false"
    return {
        "type": "event", "posture": "Reactive", "expect": [event], "match": match,
        "threshold": 1, "within": 0,
    }


def ids_of(api: PrefectApi, block: str) -> Ids:
    """Return the ids that automations need.

    Args:
        api: Prefect's API.
        block: A notification block as `slack-webhook/team`; empty: none.

    Raises:
        InvalidInput: One of them is not there.
        Unreachable: Prefect does not answer.
    """
    rollback = api.deployment_id(ROLLBACK)
    if rollback is None:
        raise InvalidInput(f"{ROLLBACK} is not deployed", next_step="Run `changeover up` first")
    if not block:
        return Ids(rollback)
    found = api.block_id(block)
    if found is None:
        raise InvalidInput(
            f"Prefect has no block {block}", allowed="TYPE/NAME, as slack-webhook/team",
            next_step="Make it in Prefect's page under Blocks, or see `prefect block ls`")
    return Ids(rollback, found)


def _refuse_others(api: PrefectApi, document: dict[str, Any]) -> None:
    """Leave alone what another database, whose migration has the same name, has on the server."""
    known, owner = api.automation(document["name"]), api.owner()
    if known is None or not owner:
        return
    owners = {owner_in(known.get("tags") or ())} - {""}
    ours = {each.get("deployment_id") for each in document["actions"]}
    for action in known.get("actions") or ():
        id_ = action.get("deployment_id")
        # of one that is gone nobody can say whose it was, and nothing is lost by replacing it
        if id_ and id_ not in ours and (found := api.owner_of(id_)) is not None:
            owners.add(found)
    if owners - {owner}:
        raise Refused(
            f"the automation {document['name']!r} in Prefect is of another database, whose "
            "migration has the same name", where=api.url,
            next_step="Delete it in Prefect if that database is gone, or give this one a server "
            "of its own")


def apply(api: PrefectApi, documents: list[dict[str, Any]]) -> list[str]:
    """Create automations, or replace those of the same name; return what was done.

    Raises:
        Refused: One of that name is another database's; nothing is applied.
        Unreachable: Prefect does not answer; what was applied before stays.
    """
    for each in documents:
        _refuse_others(api, each)
    done = []
    for each in documents:
        is_new = api.put_automation(each)
        done.append(f"{'created' if is_new else 'replaced'} {each['name']}")
    return done
