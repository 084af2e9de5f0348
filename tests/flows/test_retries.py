"""Which failures of a task are tried again."""

from __future__ import annotations

import pytest
from prefect.states import Failed

from changeover.errors import ChangeoverError, InvalidInput, StoreError, Unreachable
from tasks.steps import _is_passing


@pytest.mark.parametrize(("error", "is_passing"), [
    (StoreError("locked"), True), (Unreachable("away"), True), (InvalidInput("wrong"), False),
    (ChangeoverError("refused"), False), (ValueError("a fault"), False),
], ids=lambda value: type(value).__name__)
def test_passing_trouble_is_tried_again_and_nothing_else(
    error: Exception, is_passing: bool
) -> None:
    """What another moment can mend is retried; a refusal or a fault is not."""
    assert _is_passing(None, None, Failed(data=error)) is is_passing
