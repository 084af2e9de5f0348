"""A block's JSON schema is made once: Prefect asks for it twenty times while it saves one block."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any


class SchemaOnce:
    """Mixin before Prefect's Block that remembers the class's schema; each caller gets a copy."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the JSON schema; arguments as of pydantic's method."""
        asked: Any = cls
        return dict(deepcopy(_schema(asked, args, tuple(kwargs.items()))))


@cache
def _schema(
    cls: type[SchemaOnce], args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]
) -> Any:
    # The next in line of the class that is asked, which is Prefect's Block.
    blocks: Any = super(SchemaOnce, cls)
    return blocks.model_json_schema(*args, **dict(kwargs))
