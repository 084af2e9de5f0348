"""Where Envoy finds a user's key: simply in one header, or by a script. Pure.

A key that is one header is hashed by Envoy itself, which costs nothing. For all others the script
(`key_script`) puts the bucket into a header of ours; routes compare it with the split.
"""

from __future__ import annotations

from typing import Any

from changeover.gateway.envoy import key_script
from changeover.gateway.envoy.matching import ends_below, ends_with_number, with_value
from changeover.plan.model import Plan

Json = dict[str, Any]

KEY_HEADER = "x-changeover-key"
"""Header of ours: salt and key, or the bucket that the script found."""
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"


def hashed_header(plan: Plan) -> str:
    """Return the header that Envoy hashes."""
    plain = plan.routing.plain_header
    return KEY_HEADER if plain is None or plan.routing.salt else plain


def removed(plan: Plan) -> list[str]:
    """Return headers of ours that no system gets; Envoy hashes a salted key again for a retry."""
    return [] if plan.routing.plain_header is not None else [KEY_HEADER]


def filters(plan: Plan) -> list[Json]:
    """Return the filter that runs the script; none where the key is simply a header."""
    if plan.routing.plain_header is not None:
        return []
    source = key_script.script(plan.routing, KEY_HEADER)
    return [{"name": "envoy.filters.http.lua", "typed_config": {
        "@type": _TYPE, "default_source_code": {"inline_string": source}}}]


def split(plan: Plan, buckets: int) -> list[tuple[str, list[Json]]]:
    """Return who takes part in a split: the system that is decided by that, and matches of headers.

    The system is empty where Envoy decides by the hash of the key.

    Args:
        plan: The plan.
        buckets: Buckets of the candidate, 1..10_000.
    """
    plain, modulo = plan.routing.plain_header, plan.routing.rule.modulo
    if plain is None:
        below = {"name": KEY_HEADER, "range_match": {"start": 0, "end": buckets}}
        return [("candidate", [below]), ("baseline", with_value(KEY_HEADER))]
    if modulo:
        # Envoy has no arithmetic: the key's last digits say which system it is.
        return [("candidate", [ends_below(plain, modulo, buckets)]),
                ("baseline", [ends_with_number(plain)])]
    # Without a key Envoy would draw at random, anew for each request: the baseline serves.
    return [("", with_value(plain))]


def log_fields(plan: Plan) -> Json:
    """Return the log's fields that tell users apart, and their buckets where the script found them.
    """
    plain = plan.routing.plain_header
    if plain is not None:
        return {"k": f"%REQ({plain.upper()})%"}
    user, bucket = (f"%DYNAMIC_METADATA({key_script.NOTES}:{name})%"
                    for name in (key_script.USER, key_script.BUCKET))
    return {"k": user, "q": bucket}
