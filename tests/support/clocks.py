"""Clocks of tests: a run of all tests takes minutes, and a module's moments stay where they are."""

from __future__ import annotations

from datetime import datetime

import pytest

from changeover import clock


def live_at(patched: pytest.MonkeyPatch, moment: datetime) -> None:
    """Let this process live at a moment; its clock goes on from there."""
    real = clock.now
    ahead = moment - real()
    patched.setattr(clock, "now", lambda: real() + ahead)
