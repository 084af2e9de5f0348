"""The live screen of a real cutover: whole at every width, with and without colours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from changeover.cli.picture import POINTS, Picture, take
from changeover.cli.screen import Screen, as_line
from changeover.domain.rollbacks import Stands, TriggerStanding
from changeover.site.home import Home
from changeover.site.site import Site
from changeover.store import trigger_standings
from changeover.store.engine import Store
from tests.support.cutover_story import CutoverStory


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Picture]:
    """A cutover that soaks at 25 %, with one trigger near its bound and one word too many."""
    folder = tmp_path_factory.mktemp("screen")
    store = Store.open(f"sqlite:///{folder / 'store.db'}", create=True)
    story = CutoverStory(store)
    story.begin()
    story.pass_stage("shadow")
    story.promote("shadow", "fine")
    story.enter("beta-5")
    story.live(10)
    trigger_standings.save(store, story.migration, [TriggerStanding(
        story.migration, "errors", story.now, Stands.HOLDING, story.now, 0.018,
        "1.8 % \x1b[2J", {}, {})])
    site = Site(Home(Path("none")), story.plan, store)
    yield take(site, now=story.now)
    store.close()


def drawn(picture: Picture, width: int, *, colour: bool = False) -> list[str]:
    """Return the screen's lines."""
    file = StringIO()
    console = Console(
        file=file, width=width, force_terminal=colour, no_color=not colour, legacy_windows=False)
    console.print(Screen(picture))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 129, 130, 200, 400])
def test_nothing_is_wider_than_the_terminal(picture: Picture, width: int) -> None:
    """In a narrow window parts stand below each other, in a wide one beside each other."""
    lines = drawn(picture, width)
    assert max(map(cell_len, lines)) <= width
    text = " ".join(lines)
    for part in ("documents: gradual 5 %", "soak left", "baseline", "candidate", "errors"):
        assert part in text
    # both halves begin on the same line only where there is room
    (place,) = [line.find("errors (r") for line in lines if "errors (r" in line]
    assert (place > 0) == (width >= 130)


def test_without_colours_there_is_no_escape_at_all(picture: Picture) -> None:
    """And with them, what a system said is still not obeyed."""
    assert "\x1b" not in "".join(drawn(picture, 80))
    coloured = "".join(drawn(picture, 80, colour=True))
    assert "\x1b[" in coloured
    # only colours: nothing moves the cursor or clears the screen
    assert not re.search(r"\x1b\[[0-9;]*[^m0-9;]", coloured)


def test_what_was_measured_is_on_the_lines(picture: Picture) -> None:
    """A value for each step, none for the time before anything was measured."""
    for lines in picture.lines.values():
        assert {len(line) for line in lines.values()} == {POINTS}
        assert lines["request_rate"][0] is None
        assert lines["request_rate"][-1]
    assert picture.near["errors"] == pytest.approx(0.9)
    assert "HOLDING" in "".join(drawn(picture, 200))


def test_a_plain_line_has_what_counts(picture: Picture) -> None:
    """One line for a log, without colours and control characters."""
    line = as_line(picture)
    assert "\n" not in line and "\x1b" not in line
    for part in ("gradual 5 %", "soak left", "nearest trigger errors at 90% of its bound"):
        assert part in line


def test_a_value_of_the_past_is_none_of_now(picture: Picture) -> None:
    """When the observer stops measuring, the numbers beside the lines vanish; the lines move on."""
    stopped = {}
    for system, lines in picture.lines.items():
        stopped[system] = {metric: [*line[3:], None, None, None] for metric, line in lines.items()}
    then, now = as_line(picture), as_line(replace(picture, lines=stopped))
    assert "baseline – requests/s" not in then
    assert "baseline – requests/s, – failed, – p95" in now
