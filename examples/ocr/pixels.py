"""Pictures that come from outside, opened with care."""

from __future__ import annotations

import io

from PIL import Image

from examples.ocr.engine import Unreadable

MOST_PIXELS = 4_000_000
LARGEST_BYTES = 2_000_000


def opened(picture: bytes) -> Image.Image:
    """Return a picture that both engines can take, in grey.

    Raises:
        Unreadable: The bytes are no picture, or one that is too large.
    """
    try:
        # the size stands in the first bytes: nothing is unpacked before it is known
        found = Image.open(io.BytesIO(picture), formats=["PNG", "JPEG"])
        if found.width * found.height > MOST_PIXELS:
            raise Unreadable(f"more than {MOST_PIXELS} pixels")
        return found.convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Unreadable("not a PNG or JPEG that can be read") from error
