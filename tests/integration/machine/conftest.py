"""Disks that are full or broken."""

from tests.integration.cleanup.conftest import mount

__all__ = ["mount"]  # a fixture
