"""`/metrics`: one migration in Prometheus' text format, read from the store when asked.

Each subject has a module with its families (`FAMILIES`) and the function that fills them
(`collect`); `catalogue` is the list of all. `docs/metrics.md` has the same table, held by a test.
"""

from __future__ import annotations

from changeover.console.exposition.meter import MEDIA_TYPE, Meter

__all__ = ["MEDIA_TYPE", "Meter"]
