"""Where in a plan something is. Pure, and apart from what reads YAML, which takes long to import.
"""

from __future__ import annotations

Location = tuple[str | int, ...]
"""The way to a value: `("gates", "slo", 0, "metric")`."""
