"""docs/modes.md is what the rules say."""

from __future__ import annotations

import re
from pathlib import Path

from changeover.routing import TRANSITIONS, Mode
from changeover.transitions import diagram, markdown

PAGE = Path(__file__).parents[2] / "docs" / "modes.md"


def test_the_page_is_drawn_from_the_rules() -> None:
    """Whoever changes a transition draws the page anew: python -m changeover.transitions."""
    found = re.search(r"<!-- drawn: begin -->\n(.*)\n<!-- drawn: end -->", PAGE.read_text(), re.S)
    assert found is not None
    assert found[1] == markdown()


def test_the_diagram_has_every_way_and_no_other() -> None:
    """Arrows are exactly the table of allowed transitions."""
    arrows = re.findall(r"^    (\w+) --> (\w+)", diagram(), re.M)
    assert set(arrows) == {(str(before), str(after)) for before in Mode
                           for after in TRANSITIONS[before]}
