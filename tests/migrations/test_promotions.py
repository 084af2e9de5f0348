"""Whole plans by the command that a newcomer gives, from the start of the stack to its end.

In a file of their own: the other files of an example keep a stack running for all of their cases.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.chat.load import STRICT
from tests.support.migration import demonstrate

pytestmark = pytest.mark.integration
TAKES_MINUTES = 7


def test_five_weeks_of_agents_end_promoted_and_no_issue_is_lost(tmp_path: Path) -> None:
    """10, 25, 50, 75 and 100 %, gates and approvals; every issue done, none twice."""
    code, text = demonstrate("agents", tmp_path, "--speed", "30000")
    assert code == 0, text
    for percent in ("[ 10 %]", "[ 25 %]", "[ 50 %]", "[ 75 %]", "[100 %]"):
        assert percent in text
    users = json.loads((tmp_path / "demo" / "load.json").read_text())
    assert users["served"]["candidate"] > 0 < users["served"]["baseline"]
    assert not [name for name in users if name.startswith("failed_")], users


def test_the_chat_is_promoted_in_minutes(tmp_path: Path) -> None:
    """Every phase, the reviews of the stage with half of the users, the data consistent."""
    code, text = demonstrate("chat", tmp_path)
    assert code == 0, text[-4000:]
    assert "promoted: every stage was promoted" in text
    assert "answered promote for stage review-gradual-50-1" in text
    figures = json.loads((tmp_path / "demo" / "load.json").read_text())
    assert not any(figures.get(name) for name in STRICT), figures
    assert figures["served"]["candidate"] > figures["moved_with_state"] > 0
