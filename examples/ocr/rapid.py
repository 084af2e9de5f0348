"""RapidOCR: PaddleOCR's networks by ONNX Runtime. Their weights come with its wheel: no network."""

from __future__ import annotations

from typing import Any

import numpy as np

from examples.ocr.engine import Piece, Reading, assemble
from examples.ocr.pixels import opened

_SIDE = 96
"""Pictures whose shorter side is below this many pixels are enlarged before text is looked for."""


class Rapid:
    """The new engine: one network finds lines, another one reads them."""

    name = "rapidocr"

    def __init__(self) -> None:
        from rapidocr import RapidOCR  # half a second, and 300 MB

        self._engine: Any = RapidOCR(params={
            # one page at a time on one core: the gateway and the users need the other one
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            # pages are never upside down here
            "Global.use_cls": False,
            # a page without text is no news
            "Global.log_level": "error",
            "Det.limit_side_len": _SIDE,
        })

    def read(self, picture: bytes) -> Reading:
        """Return what stands on a picture."""
        found = self._engine(np.asarray(opened(picture).convert("RGB")))
        if not found.txts:
            return Reading("", 0.0)
        boxes = np.asarray(found.boxes)  # (pieces, 4 corners, x and y)
        tops, bottoms = boxes[:, :, 1].min(axis=1), boxes[:, :, 1].max(axis=1)
        return assemble(
            Piece(text, float(score), float(box[:, 0].min()), float(top + bottom) / 2,
                  float(bottom - top))
            for text, score, box, top, bottom in zip(
                found.txts, found.scores, boxes, tops, bottoms, strict=True))

