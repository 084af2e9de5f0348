"""Which system a user gets, and why, in words and numbers. Pure.

The command line and the console use the same words. The decision itself is `routing.decide`'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from changeover.domain import routing
from changeover.domain.routing import Key, System
from changeover.errors import InvalidInput
from changeover.flags import conditions
from changeover.flags.conditions import Context
from changeover.flags.evaluate import EMPTY, Evaluation, Evaluator
from changeover.flags.snapshot import SYSTEM_FLAG, Snapshot, expired
from changeover.plan.routes import RouteSpec

LONGEST_KEY = 4_096
"""Characters: room for a token, also in a request line that escapes each as `%F0%9F..`."""
_UNSENDABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What no header may contain: the gateway answers 400."""


def explain(
    evaluator: Evaluator, key: Key, context: Context = EMPTY, *, flag: str | None = None,
    today: date | None = None, route: RouteSpec | None = None,
) -> dict[str, Any]:
    """Return which system a user gets and what each flag is for them, with the reasons.

    Args:
        evaluator: Flags and routing, compiled.
        key: The user's key, as in the gateway's key header; empty for a request without, several
            values for a header that comes more than once.
        context: Attributes of the user; a header's name is that of the segment's attribute.
        flag: Only this flag; None for all.
        today: The present day, for `notes` about flags that have expired; None for no notes.
        route: The route of the plan that the request is of; None: of the rest.

    Raises:
        InvalidInput: The key is too long or cannot be sent, or there is no such flag.
    """
    _check(key)
    snapshot, names = evaluator.snapshot, evaluator.keys
    if flag is not None and flag not in names:
        raise InvalidInput(f"there is no flag {flag!r}", allowed=", ".join(names))
    if flag is not None:
        names = [flag]
    flags = {}
    for name in names:
        # An empty header is no key, for the gateway as well.
        found = evaluator.evaluate(name, key or None, context)
        flags[name] = _answer(found)
    asked = {name: snapshot.flags[name] for name in names if name in snapshot.flags}
    return {
        "key": shown(key),
        "route": route.name if route else None,
        **_of_system(snapshot, key, context, route),
        "environment": snapshot.environment,
        "flags": flags,
        "notes": [*([] if today is None else expired(asked, today)), *_of_route(route, flags)],
    }


def _of_route(route: RouteSpec | None, flags: dict[str, Any]) -> list[str]:
    if route is None or route.move == "together" or SYSTEM_FLAG not in flags:
        return []
    return [f"flags are of users, not of requests: {SYSTEM_FLAG} is for requests without a route"]


def _of_system(
    snapshot: Snapshot, key: Key, context: Context, route: RouteSpec | None
) -> dict[str, Any]:
    """Return which system a user gets, why, and the facts that this depends on."""
    state = snapshot.state
    with_key = conditions.with_key(context, key, snapshot.key_header)
    inside = []
    for name, spec in snapshot.segments.items():
        if conditions.segment(spec)(with_key):
            inside.append(name)
    found = routing.explain(state, key, frozenset(inside), rule=snapshot.rule, route=route)
    return {
        "system": found.system.value,
        "because": found.because,
        "mode": state.mode.value,
        "percent": state.weight / 100,
        "bucket": found.bucket,
        "segments": inside,
        "maintenance": state.maintenance,
        "version": state.version,
        "epoch": state.epoch,
    }


def _check(key: Key) -> None:
    """Raise InvalidInput unless a request can carry a key."""
    try:
        values = routing.values_of(key)
    except UnicodeEncodeError:
        raise InvalidInput(
            "the key has half of a surrogate pair, which no request can carry", where="KEY",
            allowed="text; bytes that are not UTF-8 as \\udc80 to \\udcff") from None
    # Of all values together: they are in one request, whose head is limited as a whole.
    size = len(key) if isinstance(key, str | bytes) else sum(map(len, key))
    if size > LONGEST_KEY:
        raise InvalidInput(
            f"the key has {size} characters", where="KEY", allowed=f"up to {LONGEST_KEY}")
    if found := _UNSENDABLE.search(b"".join(values)):
        raise InvalidInput(
            f"the key has the control character {found[0].hex()}, which no header may have: the "
            "gateway refuses such a request with 400", where="KEY")


def shown(key: Key) -> str:
    """Return a key as text that can be printed and sent: other bytes as `\\xe9`."""
    texts = []
    for one in (key,) if isinstance(key, str | bytes) else key:
        data = one if isinstance(one, bytes) else one.encode("utf-8", "surrogateescape")
        texts.append(data.decode("utf-8", "backslashreplace"))
    return ", ".join(texts)


def attributes(texts: Mapping[str, str], snapshot: Snapshot) -> dict[str, Any]:
    """Return attributes that were written as text: `40`, `true`, `["a"]` are read as in JSON.

    What is no JSON is text, and so is `"40"`; a header of the gateway is always text.
    """
    headers = {spec.attribute for spec in snapshot.segments.values()}
    found = {}
    for name, text in texts.items():
        # A header of the gateway is text, also when it looks like a number.
        found[name] = text if name.lower() in headers else _read(text)
    return found


def _read(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _answer(found: Evaluation) -> dict[str, Any]:
    return {
        "value": found.value, "variant": found.variant, "reason": found.reason.value,
        "why": found.why,
    }


def as_text(explained: dict[str, Any]) -> str:
    """Return an explanation for people."""
    who = explained["key"] or "a request without a key"
    who += f" on route {explained['route']}" if explained["route"] else ""
    system = System(explained["system"])
    lines = [
        f"{who} gets the {system} because {explained['because']}",
        f"routing version {explained['version']}, epoch {explained['epoch']}",
    ]
    for name, seen in explained.get("seen", {}).items():
        host = seen["host"] or "as it was sent"
        lines.append(f"the {name} sees path {seen['path']}, host {host}")
    if explained["maintenance"]:
        lines.append("maintenance: the gateway answers everyone with 503 now")
    width = max(map(len, explained["flags"]), default=0)
    for name, found in explained["flags"].items():
        lines.append(f"  {name:<{width}}  {found['value']!r} ({found['variant']}): {found['why']}")
    for note in explained["notes"]:
        lines.append(f"note: {note}")
    return "\n".join(lines)
