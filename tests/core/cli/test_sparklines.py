"""Lines and bars of characters say what the numbers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.cli.printable import printable
from changeover.cli.sparklines import ASCII, BLOCKS, bar, sparkline, top_of

VALUES = st.lists(st.none() | st.floats(0, 1e9, allow_nan=False), max_size=300)
WIDTH = st.integers(1, 200)


@given(VALUES, WIDTH, st.booleans())
def test_a_line_is_as_wide_as_asked_and_shows_its_peak(
    values: list[float | None], width: int, is_ascii: bool
) -> None:
    """However many values there are, the highest is seen, and nothing measured is a blank."""
    top = top_of(values)
    line = sparkline(values, top=top, width=width, is_ascii=is_ascii)
    heights = ASCII if is_ascii else BLOCKS
    assert len(line) == width
    assert set(line) <= {*heights, " "}
    assert line.isascii() or not is_ascii
    if top > 0:
        assert heights[-1] in line
    if all(value is None for value in values):
        assert not line.strip()


def test_zero_is_seen_and_nothing_is_a_blank() -> None:
    """No request is a low line; nobody watching is none."""
    assert sparkline([0.0, None, 8.0], top=8.0, width=5) == "  ▁ █"


def test_the_newest_values_are_on_the_right_and_groups_keep_their_peak() -> None:
    """Of several values that share a character, the highest counts."""
    assert sparkline([0.0, 0.0, 8.0, 0.0], top=8.0, width=2) == "▁█"


@given(st.none() | st.floats(0, 2000, allow_nan=False), st.integers(2, 60), st.booleans())
def test_a_bar_is_full_only_at_its_bound(
    share: float | None, width: int, is_ascii: bool
) -> None:
    """99.9 % of the way is not there yet."""
    drawn = bar(share, width, is_ascii=is_ascii)
    full = "#" if is_ascii else "█"
    assert len(drawn) == width
    filled = drawn.count(full)
    if share is not None and share >= 1:
        assert filled == width - 1
    elif width > 2:
        assert filled < width - 1
    assert ("?" in drawn) == (share is None)


@pytest.mark.parametrize(("said", "shown"), [
    ("ä → b\n\tc", "ä → b\n\tc"), ("\x1b[2J", "\\x1b[2J"),
    ("a\rb", "a\\rb"), ("\x9b2J", "\\x9b2J")])
def test_no_text_moves_the_cursor(said: str, shown: str) -> None:
    """What people and systems wrote is shown, not obeyed."""
    assert printable(said) == shown
