"""What the tests of whole migrations share: each module names its example in `EXAMPLE`."""

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
    with migration(name, tmp_path_factory.mktemp(name)) as found:
        yield found
