"""What the tests of whole migrations share.

Each module names its example in `EXAMPLE`. It may name one of the plan's environments in
`ENVIRONMENT`, and have a function `adapt` that returns the plan as a busy machine can run it.
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
    adapt = getattr(request.module, "adapt", None)
    place = tmp_path_factory.mktemp(name)
    with migration(name, place, environment=environment, adapt=adapt) as found:
        yield found
