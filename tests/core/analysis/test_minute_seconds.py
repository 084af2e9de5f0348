"""Which seconds are in a minute's sum, and what becomes of one that comes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis.minute_seconds import (
    UNKNOWN,
    Step,
    added,
    document,
    is_in,
    mask_of,
    opened,
    step,
    without_mask,
)
from changeover.analysis.window import Sample

AT = 1_700_002_800
masks = st.integers(0, (1 << 60) - 1)


@pytest.mark.parametrize(("known", "present", "may_have_changed", "wanted"), [
    (0b000, 0b011, False, Step.ANEW),  # nothing is in
    (0b011, 0b111, False, Step.ANEW),  # all that is in is stored, and more
    (0b011, 0b011, False, Step.NOTHING),
    (0b011, 0b011, True, Step.ANEW),  # sent again with late lines
    (0b011, 0b110, True, Step.ADD),  # the first second is stored no more
    (0b011, 0b010, True, Step.NOTHING),
    (UNKNOWN, 0b111, True, Step.NOTHING),
])
def test_what_becomes_of_seconds(
    known: int, present: int, may_have_changed: bool, wanted: Step
) -> None:
    """A minute is made anew only while all that is in it is stored; else what is new is added."""
    assert step(known, present, may_have_changed=may_have_changed) is wanted


@given(gateways=st.dictionaries(st.text("abc-9", min_size=1), st.one_of(masks, st.just(UNKNOWN))))
def test_masks_come_back_as_they_were(gateways: dict[str, int]) -> None:
    """Whatever is in."""
    assert opened(document(gateways)) == gateways


@given(mask=masks)
def test_mask_names_its_seconds(mask: int) -> None:
    """Each bit is a second."""
    assert mask_of(at for at in range(AT, AT + 60) if is_in(mask, at)) == mask


def test_minute_without_mask_is_made_anew_only_while_all_its_seconds_are_there() -> None:
    """A version without masks summed it up; what it may hold already is never added."""
    minute = Sample("candidate", AT, 60, watched=3)
    assert without_mask(None, 0b1) == 0
    assert without_mask(minute, 0b111) == 0
    assert without_mask(minute, 0b11) == UNKNOWN


def test_seconds_are_added_to_what_was_watched_and_to_the_mean_of_cores() -> None:
    """A minute of three seconds and one more second say what all four say."""
    minute = Sample("candidate", AT, 60, requests=30, watched=3, listened=0,
                    memory_bytes=9, cpu_cores=1.0)
    later = Sample("candidate", AT + 7, requests=5, watched=1, listened=1,
                   memory_bytes=7, cpu_cores=3.0)
    found = added(minute, 0b111, [later])
    assert (found.requests, found.watched, found.listened) == (35, 4, 1)
    assert (found.memory_bytes, found.cpu_cores) == (9, 1.5)
