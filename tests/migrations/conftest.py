"""What the tests of whole migrations share.

Each module names its example in `EXAMPLE`, and in `ENVIRONMENT` one of its plan's environments.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from changeover.supervisor import examples
from tests.support.migration import Migration, migration


@pytest.fixture(scope="module")
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Migration]:
    """The module's example with its users, nobody moved yet."""
    name: str = request.module.EXAMPLE
    lacking = examples.described(name).needs()
    assert lacking is None, lacking  # CI installs what the examples need
    environment: str | None = getattr(request.module, "ENVIRONMENT", None)
    with migration(name, tmp_path_factory.mktemp(name), environment=environment) as found:
        yield found
