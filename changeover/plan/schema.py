"""The plan's JSON schema, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any

from changeover.plan.model import Plan


def plan_schema() -> dict[str, Any]:
    """Return the schema of a plan file (JSON Schema 2020-12)."""
    schema = Plan.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Changeover migration plan",
    }
