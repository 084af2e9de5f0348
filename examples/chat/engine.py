"""The answer engine behind both transports: sentences of the handbook that answer a question.

It speaks at a steady pace, as a language model does: so there is something to stream, and a whole
answer takes the same time whichever transport brings it.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

from examples.chat.handbook import Handbook, Section

WORDS_PER_PIECE = 8
PIECE_SECONDS = 0.016
"""Pace of speaking: 500 words a second."""
MOST_WORDS = 32
"""So a whole answer takes at most about 0.08 seconds."""
SECTIONS = 16
"""Sections whose sentences are weighed."""
NOTHING = "I do not find that in the handbook. Ask for gates, triggers, soaks or rollbacks."
_WORD = re.compile(r"[a-z][a-z0-9-]{2,30}")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_COMMON_WORDS = (
    "the and for are was how what when where why who which does did can could will would should "
    "with that this then than there its his her our your you not but from into about have has "
    "had more most some any all one two use used tell mean means please also just only")
_COMMON = frozenset(_COMMON_WORDS.split())


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a question, the topic that a next question may mean, and from where."""

    text: str
    topic: str
    sources: tuple[str, ...]

    @property
    def pieces(self) -> list[str]:
        """The text in the parts in which it is spoken; together they are the text."""
        words = self.text.split(" ")
        parts = [words[at:at + WORDS_PER_PIECE] for at in range(0, len(words), WORDS_PER_PIECE)]
        joined = [" ".join(part) for part in parts]
        return [piece + (" " if at < len(joined) - 1 else "") for at, piece in enumerate(joined)]


class Engine:
    """Answers questions from the handbook; the same question and topic give the same answer."""

    def __init__(self, handbook: Handbook | None = None) -> None:
        self._handbook = handbook or Handbook()

    def answer(self, question: str, topic: str) -> Answer:
        """Return the answer to a question, whose words may need those of the talk before it.

        Args:
            question: What the user writes.
            topic: Words that the conversation was about so far; empty at its beginning.
        """
        asked = _words(question)
        # "and how long?" is about what was asked before
        is_further = not asked or question.lower().startswith(("and ", "but "))
        words = list(dict.fromkeys([*asked, *topic.split()])) if is_further else asked
        found = self._handbook.search(words, SECTIONS)
        if not found:
            return Answer(NOTHING, topic, ())
        chosen = _best_sentences(found, words)
        text = _limited(" ".join(sentence for _, sentence in chosen))
        sources = dict.fromkeys(f"{each.place}: {each.heading}" for each, _ in chosen)
        return Answer(text, " ".join(words[:6]), tuple(sources))


async def speak(answer: Answer) -> AsyncIterator[str]:
    """Yield the pieces of an answer at the pace of speaking."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number, piece in enumerate(answer.pieces, 1):
        # by the time since the start: what a busy machine loses at one piece is made up for
        await asyncio.sleep(max(0.0, began + number * PIECE_SECONDS - loop.time()))
        yield piece


def _words(text: str) -> list[str]:
    """Return the words of a text that say what it is about, each once."""
    found = (word for word in _WORD.findall(text.lower()) if word not in _COMMON)
    return list(dict.fromkeys(found))


def _best_sentences(found: list[Section], words: list[str]) -> list[tuple[Section, str]]:
    """Return the sentences that say most about the words, the best first, none twice.

    A word counts the more, the rarer it is among the sentences; a long sentence counts less.
    """
    sentences = [(each, text) for each in found for text in _SENTENCE.split(each.text)]
    of_each = [Counter(_WORD.findall(text.lower())) for _, text in sentences]
    rarity = {}
    for word in words:
        containing = sum(1 for counts in of_each if counts[word])
        rarity[word] = math.log(1 + len(sentences) / (1 + containing))
    scored = []
    for number, counts in enumerate(of_each):
        score = sum(rarity[word] * min(counts[word], 2) for word in words)
        scored.append((-score / math.sqrt(8 + sum(counts.values())), number))
    best = [sentences[number] for _, number in sorted(scored)[:6]]
    return list({text: (section, text) for section, text in best}.values())[:3]


def _limited(text: str) -> str:
    words = text.split()
    return " ".join(words) if len(words) <= MOST_WORDS else " ".join(words[:MOST_WORDS]) + " …"
