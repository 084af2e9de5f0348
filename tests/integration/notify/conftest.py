"""The observer's fixture, for what it sends."""

from tests.integration.observer.conftest import start

__all__ = ["start"]
