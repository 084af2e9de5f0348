"""Attempts to bring a routing state to the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Publication:
    """An attempt to bring a routing state to the gateway.

    `nodes` says which gateway nodes confirmed it; empty where there are none.
    """

    migration: str
    epoch: int
    version: int
    at: datetime
    is_confirmed: bool
    seconds: float
    error: str = ""
    nodes: str = ""
