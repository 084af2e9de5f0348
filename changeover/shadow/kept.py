"""Pairs of answers as the store saves them: packed, with what was counted of them. Pure."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from changeover.comparison.answers import Answer
from changeover.domain.comparisons import Compared, Example


@dataclass(frozen=True, slots=True)
class Kept:
    """What is saved of a pair.

    `answers` are the baseline's, the candidate's, and the baseline's second one if it was asked
    twice. `is_scorable` says whether the masked answers still give the result of the whole ones.
    """

    answers: tuple[Answer, ...]
    found: dict[str, str]
    ignored: frozenset[str]
    noisy: frozenset[str] | None
    is_scorable: bool

    def counted(self, one: Compared) -> Compared:
        """Return a comparison with what was counted of it; the values of its examples are gone."""
        found = {}
        for place, kind in self.found.items():
            found[place] = Example(one.request, "", kind, None, None)
        return replace(one, found=found, ignored=self.ignored, noisy=self.noisy)


def packed(answers: Sequence[Answer], one: Compared, *, is_scorable: bool) -> bytes:
    """Return answers, masked already, and what is counted of them, as bytes for the store."""
    document = {
        "answers": [_plain(answer) for answer in answers],
        "found": {place: example.kind for place, example in one.found.items()},
        "ignored": sorted(one.ignored),
        "noisy": None if one.noisy is None else sorted(one.noisy),
        "is_scorable": is_scorable,
    }
    # Level 1: most of the gain at a fraction of the time, while copies wait.
    return zlib.compress(orjson.dumps(document), 1)


def opened(kept: bytes) -> Kept:
    """Return what was packed; what an older version packed cannot be scored again."""
    data = orjson.loads(zlib.decompress(kept))
    if isinstance(data, list):
        data = {"answers": data, "found": {}, "ignored": [], "noisy": None, "is_scorable": False}
    answers = tuple(_answer(each) for each in data["answers"])
    # None means that the baseline was not asked twice; empty, that it did not differ.
    noisy = None if data["noisy"] is None else frozenset(data["noisy"])
    ignored = frozenset(data["ignored"])
    return Kept(answers, data["found"], ignored, noisy, data["is_scorable"])


def unpacked(kept: bytes) -> tuple[Answer, Answer]:
    """Return the saved answers (baseline, candidate) of a comparison."""
    baseline, candidate = opened(kept).answers[:2]
    return baseline, candidate


def _plain(answer: Answer) -> dict[str, Any]:
    kept: dict[str, Any] = {
        "status": answer.status, "error": answer.error, "duration": answer.duration,
        "headers": answer.headers, "sealed": answer.sealed,
    }
    # As text where it is one: base64 takes a third more.
    try:
        return {**kept, "text": answer.body.decode()}
    except UnicodeDecodeError:
        return {**kept, "base64": base64.b64encode(answer.body).decode()}


def _answer(kept: dict[str, Any]) -> Answer:
    body = base64.b64decode(kept["base64"]) if "base64" in kept else kept["text"].encode()
    # Older versions did not save it.
    sealed = kept.get("sealed", "")
    return Answer(
        kept["status"], kept["headers"], body, kept["duration"], kept["error"], sealed)
