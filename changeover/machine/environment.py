"""Which variables our own processes get, and which other programs inherit from them."""

from __future__ import annotations

import os

from changeover.machine.break_glass_token import TOKEN_VARIABLE

FRUGAL = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""The C library gives memory back instead of keeping some for each thread (decision 22)."""


def for_other_programs() -> dict[str, str]:
    """Return this process's environment for a program that is not ours, without `FRUGAL`.

    A system that a lever starts would pay for our memory with its own speed. The token that moves
    users is not for it, either.
    """
    return {name: value for name, value in os.environ.items()
            if FRUGAL.get(name) != value and name != TOKEN_VARIABLE}
