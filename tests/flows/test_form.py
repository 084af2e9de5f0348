"""The form in which people answer on Prefect's page."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tasks.approve import StageApproval


@pytest.mark.parametrize("name", ["", "a", "  ", " a ", "x" * 101])
def test_an_answer_without_a_name_is_none(name: str) -> None:
    """Blanks are nobody: the form is asked again."""
    with pytest.raises(ValidationError):
        StageApproval(decision="promote", approver=name)


@pytest.mark.parametrize("name", ["ann", "Ana Lima", "Ü.", "李 雷"])
def test_an_answer_with_a_name_is_taken(name: str) -> None:
    """In any letters."""
    assert StageApproval(decision="promote", approver=name).approver == name
