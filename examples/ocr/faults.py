"""What can go wrong with a text recognition service, beside what can with any service."""

from __future__ import annotations

import asyncio
import contextlib
import io

from PIL import Image
from starlette.responses import JSONResponse, Response

from examples.ocr.engine import Reading
from examples.shared.faults import Faults

KINDS = (
    "errors", "some_errors", "unreadable", "some_unreadable", "late", "slow", "unsure",
    "garbled", "offline", "hang", "crash", "memory", "cloud_down",
)
SECONDS = {"late": 33.0, "slow": 63.0}
"""How much longer a page takes: above the threshold of 30 s, and above the critical 60 s."""
UNREADABLE_EVERY = {"unreadable": 5, "some_unreadable": 13}
SOME_ERRORS_EVERY = 13
"""One of so many answers: 7.7 %, between what people are asked about and what is critical."""
SHRUNK_TO = 0.2
"""With `unsure`, pages are made so much smaller first, as by a wrong setting of a scanner."""
OFFLINE = ("offline", "cloud_down")


class OcrFaults(Faults):
    """The misbehaviour that the demo asks for; none unless it is asked for."""

    @property
    def is_offline(self) -> bool:
        """Whether the engine is gone, which the health address says."""
        return self.kind in OFFLINE

    def __init__(self) -> None:
        super().__init__()
        self._ended = asyncio.Event()

    def begin(self, kind: str) -> None:
        """Start one kind of fault, or end them all with `none`."""
        # who hangs or is late is let go
        self._ended.set()
        self._ended = asyncio.Event()
        super().begin(kind)

    async def suffer(self) -> Response | None:
        """Return an error answer, be late, hang until the fault ends, or do nothing."""
        if self.kind == "hang":
            await self._ended.wait()
        if (failure := await super().suffer()) is not None:
            return failure
        if self.is_offline:
            return JSONResponse({"error": "the engine is not there"}, status_code=503)
        if self.kind == "some_errors" and self._count % SOME_ERRORS_EVERY == 0:
            return JSONResponse({"error": "the engine failed"}, status_code=500)
        every = UNREADABLE_EVERY.get(self.kind)
        if every and self._count % every == 0:
            return JSONResponse({"error": "nothing can be read on this page"}, status_code=422)
        if self.kind in SECONDS:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), SECONDS[self.kind])
        return None

    def before(self, picture: bytes) -> bytes:
        """Return the picture that the engine gets."""
        if self.kind != "unsure":
            return picture
        page = Image.open(io.BytesIO(picture))
        size = (max(1, round(page.width * SHRUNK_TO)), max(1, round(page.height * SHRUNK_TO)))
        written = io.BytesIO()
        page.resize(size, Image.Resampling.BILINEAR).save(written, "PNG")
        return written.getvalue()

    def after(self, reading: Reading) -> Reading:
        """Return what the engine says.

        With `garbled`, each letter and digit is its neighbour, as when the engine's list of
        characters belongs to other weights: it is as sure as ever.
        """
        if self.kind != "garbled":
            return reading
        text = "".join(chr(ord(sign) + 1) if sign.isalnum() else sign for sign in reading.text)
        return Reading(text, reading.confidence)
