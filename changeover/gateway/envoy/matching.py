"""How Envoy matches headers, for routes and for what is noted of requests. Pure."""

from __future__ import annotations

from typing import Any

from changeover.plan.routing import SegmentSpec

Json = dict[str, Any]


def string(header: str, matcher: Json) -> Json:
    """Return the match of a header by its whole text; one of several values is enough."""
    return {"name": header, "string_match": matcher}


def with_value(header: str) -> list[Json]:
    """Return the matches of requests whose header is there and not empty."""
    return [{"name": header, "present_match": True},
            {**string(header, {"exact": ""}), "invert_match": True}]


def of_segment(segment: SegmentSpec) -> Json:
    """Return the match of a segment's users."""
    alternatives = "|".join(_literal(value) for value in segment.any_of)
    return string(segment.header, {"safe_regex": {"regex": alternatives}})


def _literal(value: str) -> str:
    """Return `value` as a regular expression (RE2) that matches nothing else."""
    # RE2 takes a backslash before ASCII signs only; before a letter it means something else.
    return "".join(c if c.isalnum() or ord(c) > 127 else "\\" + c for c in value)
