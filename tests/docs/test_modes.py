"""docs/modes.md is what the rules say."""

from __future__ import annotations

import re
from pathlib import Path

from changeover.domain.modes_diagram import diagram, markdown
from changeover.domain.routing import TRANSITIONS, Mode

PAGE = Path(__file__).parents[2] / "docs" / "modes.md"


def test_the_page_is_drawn_from_the_rules() -> None:
    """A changed transition means a new page: `python -m changeover.domain.modes_diagram`."""
    found = re.search(r"<!-- drawn: begin -->\n(.*)\n<!-- drawn: end -->", PAGE.read_text(), re.S)
    assert found is not None
    assert found[1] == markdown()


def test_the_diagram_has_every_way_and_no_other() -> None:
    """Arrows are exactly the table of allowed transitions."""
    arrows = re.findall(r"^    (\w+) --> (\w+)", diagram(), re.M)
    assert set(arrows) == {(str(before), str(after)) for before in Mode
                           for after in TRANSITIONS[before]}
