"""The two models of the AI services, loaded when first needed and unloaded on demand."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from examples.documents.classic import picture

MOST_PHRASES, MOST_SENTENCES, LONGEST_TEXT = 6, 2, 4_000
WIDEST = 640
"""A page's longer side, in pixels, when the reader looks for lines; `twice` doubles it."""
_END = re.compile(r"(?<=[.!?])\s+")


class Reading:
    """RapidOCR: finds the lines of a page and reads each."""

    name = "ocr"

    def __init__(self) -> None:
        self._engine: Any = None

    @property
    def is_loaded(self) -> bool:
        """Whether its networks are in memory."""
        return self._engine is not None

    def read(self, content: bytes, *, twice: bool = False) -> dict[str, Any]:
        """Return `text`, its lines in order, and the mean `confidence` (0..1).

        Args:
            content: The picture.
            twice: Read it at double size, too, and take the reading that is surer.

        Raises:
            classic.Unreadable: It is no picture.
        """
        page = picture(content).convert("RGB")
        found = self._read(np.asarray(page))
        if twice:
            larger = page.resize((page.width * 2, page.height * 2))
            found = max(found, self._read(np.asarray(larger)), key=lambda each: each["confidence"])
        return found

    def _read(self, page: np.ndarray[Any, Any]) -> dict[str, Any]:
        if self._engine is None:
            self._engine = _load_reader()
        found = self._engine(page)
        lines, scores = list(found.txts or ()), [float(score) for score in found.scores or ()]
        confidence = sum(scores) / len(scores) if scores else 0.0
        return {"text": "\n".join(lines), "confidence": confidence}

    def unload(self) -> None:
        """Forget the networks."""
        self._engine = None


class Describing:
    """YAKE: key phrases by statistics, and the sentences that have the most of them."""

    name = "llm"

    def __init__(self) -> None:
        self._phrases: Any = None

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory."""
        return self._phrases is not None

    def describe(self, text: str) -> dict[str, Any]:
        """Return `keywords` and a `summary` of at most two of the text's own sentences."""
        text = text[:LONGEST_TEXT]
        if self._phrases is None:
            import yake

            self._phrases = yake.KeywordExtractor(lan="en", n=2, top=MOST_PHRASES)
        keywords = [str(phrase) for phrase, _ in self._phrases.extract_keywords(text)]
        sentences = [" ".join(each.split()) for each in _END.split(text) if each.strip()]

        def weight(sentence: str) -> int:
            return sum(word.lower() in sentence.lower() for word in keywords)

        # the best, in the order in which they stand in the text
        best = sorted(sentences, key=weight, reverse=True)[:MOST_SENTENCES]
        return {"keywords": keywords, "summary": " ".join(s for s in sentences if s in best)}

    def unload(self) -> None:
        """Forget the model."""
        self._phrases = None


def _load_reader() -> Any:
    from rapidocr import RapidOCR

    # one thread: users' requests need the other cores
    return RapidOCR(params={
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Global.use_cls": False, "Global.log_level": "warning",
        "Det.limit_type": "max", "Det.limit_side_len": WIDEST,
    })
