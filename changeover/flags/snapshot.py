"""All that flag values depend on, at one moment: flags, segments, routing state. Pure.

A snapshot travels as JSON from the console to the provider in an application, and gives the same
answers there. Reading one from the store is `changeover.store.flags`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from changeover.domain.routing import BUCKETS, Mode, RoutingState
from changeover.plan.flags import Attributes, Entry, as_document, as_spec, from_document
from changeover.plan.model import Plan
from changeover.plan.routing import HASHED, KeyRule
from changeover.plan.segments import SegmentSpec
from changeover.plan.user_lists import Lists, UserList, as_context, digests_in

FORMAT = 1
FORMAT_OF_NUMBERS = 2
"""With `routing.key.modulo`: an older program would hash the keys, and so must refuse it."""
SYSTEM_FLAG = "changeover.system"
"""The flag that every migration has: the system that answers this user."""
_ATTRIBUTES: TypeAdapter[Attributes] = TypeAdapter(Attributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Flags and routing of a migration's environment at one moment.

    Args:
        state: The routing state.
        environment: Name of the environment; empty for a plan without.
        flags: Every flag as it is now, changes by hand included.
        segments: The gateway's segments, recognised by an attribute named as the header.
        flag_segments: The flags' own segments.
        safe_flags: Values that win in `emergency_rollback`.
        key_header: The gateway's header with the user's key; a segment may be about it.
        rule: How a key becomes a bucket, as in the gateway.
        etag: Changes with every change of what is here, and only then.
        changed_at: When something was changed last.
    """

    state: RoutingState
    environment: str = ""
    flags: Mapping[str, Entry] = field(default_factory=dict)
    segments: Mapping[str, SegmentSpec] = field(default_factory=dict)
    flag_segments: Mapping[str, Attributes] = field(default_factory=dict)
    safe_flags: Mapping[str, Any] = field(default_factory=dict)
    key_header: str = ""
    rule: KeyRule = HASHED
    etag: str = ""
    changed_at: datetime | None = None


def of_plan(plan: Plan, state: RoutingState) -> Snapshot:
    """Return the snapshot of a plan and a routing state, with the flags as the plan has them."""
    return Snapshot(
        state=state,
        flags=plan.flags,
        segments=plan.routing.segments,
        flag_segments=plan.flag_segments,
        safe_flags=plan.rollback.safe_flags,
        key_header=plan.routing.plain_header or "",
        rule=plan.routing.rule,
    )


def etag_of(digest: str, environment: str, version: int, change: int) -> str:
    """Return the etag of a snapshot.

    Args:
        digest: The plan's.
        environment: Name of the environment.
        version: The routing state's; it only grows.
        change: Number of the last change of a flag; it only grows.
    """
    return f"{digest[:12]}-{environment}-{version}-{change}"


def is_behind(etag: str, other: str) -> bool:
    """Whether a snapshot may lack something that one with the other etag has.

    An etag that is not a snapshot's is nothing to wait for.
    """
    # From the end: the environment's name may have dashes in it.
    try:
        mine = [int(part) for part in etag.rsplit("-", 2)[1:]]
        theirs = [int(part) for part in other.rsplit("-", 2)[1:]]
    except ValueError:
        return False
    if len(theirs) != 2 or etag == other:
        return False
    # Another plan, and nobody can say which is the later one.
    if mine == theirs:
        return True
    return any(one < two for one, two in zip(mine, theirs, strict=True))


def user_list_of(snapshot: Snapshot, sha256: str) -> UserList | None:
    """Return the list of users with that digest; None where no segment has it."""
    specs = snapshot.segments.values()
    return next((spec.users for spec in specs if spec.listed and spec.listed.sha256 == sha256),
                None)


def lists_named_in(document: Any) -> list[str]:
    """Return the digests of the lists that a snapshot's document names; they do not travel in it.

    Raises:
        ValueError: It is not a snapshot.
    """
    try:
        return digests_in(document["segments"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the snapshot cannot be read: {error!r}") from error


def to_document(snapshot: Snapshot) -> dict[str, Any]:
    """Return the snapshot as JSON-able data; without the values of lists of users."""
    segments, flag_segments = {}, {}
    for name, spec in snapshot.segments.items():
        segments[name] = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for name, specs in snapshot.flag_segments.items():
        flag_segments[name] = _ATTRIBUTES.dump_python(specs, mode="json", exclude_defaults=True)
    return {
        "format": FORMAT_OF_NUMBERS if snapshot.rule.modulo else FORMAT,
        "migration": snapshot.state.migration,
        "environment": snapshot.environment,
        "state": _state(snapshot.state),
        "flags": {key: as_document(entry) for key, entry in snapshot.flags.items()},
        "segments": segments,
        "flag_segments": flag_segments,
        "safe_flags": dict(snapshot.safe_flags),
        "key_header": snapshot.key_header,
        "salt": snapshot.rule.salt,
        "modulo": snapshot.rule.modulo,
        "etag": snapshot.etag,
        "changed_at": snapshot.changed_at and snapshot.changed_at.isoformat(),
    }


def _state(state: RoutingState) -> dict[str, Any]:
    found = asdict(state)
    # An older program that meets `kept` refuses the snapshot, as it must not decide without it.
    # Where nobody is kept it can go on.
    if not found["kept"]:
        del found["kept"]
    if found["segment_weight"] == BUCKETS:
        del found["segment_weight"]
    # flags are of users, whatever they ask for: routes change no flag, and older programs go on
    del found["routes"], found["kept_routes"]
    return found


def from_snapshot_document(document: Any, lists: Lists = MappingProxyType({})) -> Snapshot:
    """Return the snapshot that `to_document` wrote.

    Args:
        document: What was written.
        lists: The lists of users that it names, by their digests.

    Raises:
        ValueError: It is not a snapshot, or a later version of this program wrote it.
    """
    known = (FORMAT, FORMAT_OF_NUMBERS)
    if not isinstance(document, dict) or document.get("format") not in known:
        found = document.get("format") if isinstance(document, dict) else None
        raise ValueError(f"this is no snapshot of format {FORMAT} (found {found!r})")
    try:
        changed_at = document["changed_at"]
        segments, flag_segments = {}, {}
        for name, spec in document["segments"].items():
            segments[name] = SegmentSpec.model_validate(spec, context=as_context(lists))
        for name, specs in document["flag_segments"].items():
            flag_segments[name] = _ATTRIBUTES.validate_python(specs)
        return Snapshot(
            state=_state_of(document["state"]),
            environment=document["environment"],
            flags={key: from_document(entry) for key, entry in document["flags"].items()},
            segments=segments,
            flag_segments=flag_segments,
            safe_flags=document["safe_flags"],
            # Consoles before it sent none.
            key_header=document.get("key_header", ""),
            # Consoles before it sent none.
            rule=KeyRule(document["salt"], document.get("modulo", 0)),
            etag=document["etag"],
            changed_at=changed_at and datetime.fromisoformat(changed_at),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the snapshot cannot be read: {error!r}") from error


def _state_of(document: dict[str, Any]) -> RoutingState:
    """Return the routing state that `_state` wrote; JSON has lists for tuples."""
    mode, kept = Mode(document["mode"]), tuple(document.get("kept", ()))
    segments = tuple(document["segments"])
    return RoutingState(**{**document, "mode": mode, "segments": segments, "kept": kept})


def expired(flags: Mapping[str, Entry], today: date) -> list[str]:
    """Return one sentence for each flag that should have been removed by now."""
    notes = []
    for key, entry in sorted(flags.items()):
        spec = as_spec(entry)
        if spec.expires is None or spec.expires > today:
            continue
        owner = f" ({spec.owner})" if spec.owner else ""
        notes.append(f"flag {key} expired on {spec.expires}: remove it from the code and from "
                     f"the plan, or give it another day{owner}")
    return notes
