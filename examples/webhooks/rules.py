"""How the two agents triage an issue. Pure: an issue in, labels and confidence out."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WORDS: dict[str, tuple[str, ...]] = {
    "bug": ("error", "crash", "traceback", "broken", "fails", "exception", "regression"),
    "feature": ("add", "support", "would be nice", "feature", "please allow", "proposal"),
    "docs": ("documentation", "readme", "typo", "example", "docs"),
    "question": ("how do i", "how to", "why does", "is it possible", "?"),
}


@dataclass(frozen=True, slots=True)
class Triage:
    """What an agent makes of an issue; `confidence` is 0..1."""

    label: str
    confidence: float


def by_first_word(title: str, body: str) -> Triage:
    """Return what the old agent says: the first group of words that occurs anywhere decides."""
    text = f"{title}\n{body}".casefold()
    for label, words in _WORDS.items():
        if any(word in text for word in words):
            return Triage(label, 0.5)
    return Triage("question", 0.2)


def by_score(title: str, body: str) -> Triage:
    """Return what the new agent says: every word counts, in the title three times."""
    scores = {label: _score(words, title, body) for label, words in _WORDS.items()}
    total = sum(scores.values())
    if not total:
        return Triage("question", 0.25)
    best = max(scores, key=lambda label: scores[label])
    return Triage(best, scores[best] / total)


def _score(words: tuple[str, ...], title: str, body: str) -> int:
    return sum(3 * _count(word, title) + _count(word, body) for word in words)


def _count(word: str, text: str) -> int:
    # beside `?` there is no edge of a word that a pattern could find
    if not word[0].isalpha():
        return text.count(word)
    return len(re.findall(rf"\b{re.escape(word)}\b", text.casefold()))
