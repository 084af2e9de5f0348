"""HTTP/2 cut at its GOAWAY frames, however it arrives."""

from __future__ import annotations

import itertools

from hyperframe.frame import DataFrame, Frame, GoAwayFrame
from hypothesis import given
from hypothesis import strategies as st

from changeover.shadow.goodbye import Frames

FRAMES = st.lists(st.one_of(
    st.builds(lambda data: DataFrame(1, data), st.binary(max_size=50)),
    st.builds(lambda last: GoAwayFrame(0, last_stream_id=last), st.integers(0, 2**31 - 1))))


@given(FRAMES, st.lists(st.integers(0, 400)))
def test_frames_stay_in_order_whatever_pieces_they_come_in(
    frames: list[Frame], cuts: list[int]
) -> None:
    """GOAWAY is its last stream; everything else stays the bytes that it was."""
    data = b"".join(each.serialize() for each in frames)
    places = sorted({0, *(cut for cut in cuts if cut < len(data)), len(data)})
    reader = Frames()
    found: list[bytes | int] = []
    for start, end in itertools.pairwise(places):
        for part in reader.cut(data[start:end]):
            if isinstance(part, bytes) and found and isinstance(found[-1], bytes):
                found[-1] += part
            else:
                found.append(part)
    expected: list[bytes | int] = []
    for each in frames:
        if isinstance(each, GoAwayFrame):
            expected.append(each.last_stream_id)
        elif expected and isinstance(expected[-1], bytes):
            expected[-1] += each.serialize()
        else:
            expected.append(each.serialize())
    assert found == expected
