"""From rows to records: every record's fields are named like its row's columns."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, TypeVar

from changeover.store.tables import Base

Record = TypeVar("Record")


def to_record(kind: type[Record], row: Base, **replaced: Any) -> Record:
    """Return `row` as a frozen record of type `kind`.

    Args:
        kind: A record class of `changeover.domain.records`.
        row: A row with an attribute for each of its fields.
        replaced: Fields whose value is not the row's own.
    """
    values = {
        field.name: getattr(row, field.name)
        for field in fields(kind)  # type: ignore[arg-type]
        if field.name not in replaced
    }
    return kind(**values, **replaced)
