"""How many examples are made up for a rule that much depends on."""

from __future__ import annotations

from hypothesis import settings

MANY = settings(max_examples=3 * settings().max_examples)
"""Three times as many as for other rules of the profile that runs."""
