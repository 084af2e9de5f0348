"""The tap's socket belongs to the newest service: an older one takes only its own away."""

from __future__ import annotations

from pathlib import Path

import pytest

from changeover.shadow.tap import TapServer

pytestmark = [pytest.mark.integration, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    """The service runs on asyncio."""
    return "asyncio"


async def test_a_service_that_ends_leaves_the_socket_of_the_next_one(tmp_path: Path) -> None:
    """Else the users' Envoy would find nobody there."""
    path = tmp_path / "tap.sock"
    first, second = (TapServer(path, lambda exchange: None) for _ in range(2))
    await first.start()
    await second.start()
    await first.stop()
    assert path.is_socket()
    await second.stop()
    assert not path.exists()
