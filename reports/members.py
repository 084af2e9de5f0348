"""The group of migrations that a migration belongs to, in every form of the report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports import text

HEAD = ("Order", "Migration", "Stands")


def rows(group: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the cells of `HEAD`, one row for each member, in their order."""
    return [
        (str(each["order"]), each["migration"], text.one_line(each["text"]))
        for each in group["members"]
    ]


def waits(group: Mapping[str, Any]) -> str:
    """Return what the migration waits for, now or after its soak; empty when for nobody."""
    if group["waits"]:
        return text.one_line(f"Waits for its group: {group['waits']}.")
    return text.one_line(f"After this soak {group['will_wait']}.") if group["will_wait"] else ""


def as_markdown(group: Mapping[str, Any]) -> str:
    """Return both as Markdown."""
    said = [text.markdown(waits(group))] if waits(group) else []
    return "\n\n".join([text.markdown_table(HEAD, rows(group)), *said])
