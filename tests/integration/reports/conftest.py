"""What tests of reports share."""

from __future__ import annotations

from tests.support.ftp import ftp

__all__ = ["ftp"]  # a fixture
