"""What the flow tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.sop_site import PrefectServer, prefect_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """One Prefect server for all sites whose procedures the tests carry out."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as found:
        yield found
