"""How the new agents read an issue. Pure: an issue in, its label and its form out."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORDS: dict[str, tuple[str, ...]] = {
    "bug": ("error", "crash", "traceback", "broken", "fails", "exception", "regression"),
    "feature": ("add", "deliver", "support", "would be nice", "feature", "please allow", "raise",
                "lower"),
    "docs": ("documentation", "readme", "typo", "example", "docs"),
    "question": ("how do i", "how to", "why does", "is it possible", "?"),
}
_HEADING = re.compile(r"^###\s+(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Triage:
    """What an agent makes of an issue; `confidence` is 0..1."""

    label: str
    confidence: float


def by_score(title: str, body: str) -> Triage:
    """Return the label for which most words speak; a word in the title counts three times."""
    scores = {label: _score(words, title, body) for label, words in _WORDS.items()}
    total = sum(scores.values())
    if not total:
        return Triage("question", 0.25)
    best = max(scores, key=lambda label: scores[label])
    return Triage(best, scores[best] / total)


def form(body: str) -> dict[str, str]:
    """Return what was filled in, by heading in lower case: GitHub writes issue forms that way."""
    parts = _HEADING.split(body)
    # the text before the first heading, then heading and text in turn
    return {heading.casefold(): text.strip().strip("`\"'")
            for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def _score(words: tuple[str, ...], title: str, body: str) -> int:
    return sum(3 * _count(word, title) + _count(word, body) for word in words)


def _count(word: str, text: str) -> int:
    # beside `?` there is no edge of a word that a pattern could find
    if not word[0].isalpha():
        return text.count(word)
    return len(re.findall(rf"\b{re.escape(word)}\b", text.casefold()))
