"""The true differences of a pair: listed beforehand, and compared with those that were found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from changeover.comparison.answers import Answer
from changeover.errors import InvalidInput
from changeover.shadow.kept import opened
from changeover.store import comparisons
from changeover.store.engine import Store


@dataclass(frozen=True)
class Listed:
    """A difference that is known before anything is compared.

    Args:
        request: Pattern of method and path, as `GET *.html`; `*` and `?` stand for any text.
        place: Pattern of the place: `status`, `headers.content-type`, `$`, `/html/…`.
        why: Where it comes from, and why users may see it.
        baseline: The baseline's value of a header or the status; empty: any.
        candidate: The candidate's value.
    """

    request: str
    place: str
    why: str
    baseline: str = ""
    candidate: str = ""

    def covers(self, found: Found) -> bool:
        """Whether a difference that was found is this one."""
        if not (fnmatchcase(found.request, self.request)
                and fnmatchcase(found.place, self.place.replace("[", "[[]"))):
            return False
        return all(not wanted or wanted == value for wanted, value in (
            (self.baseline, found.baseline), (self.candidate, found.candidate)))

    @property
    def text(self) -> str:
        """It in one line."""
        values = f": {self.baseline} → {self.candidate}" if self.baseline else ""
        return f"{self.request} {self.place}{values}"


@dataclass(frozen=True)
class Found:
    """A difference that was found in one comparison; the values of headers and status only."""

    request: str
    place: str
    baseline: str
    candidate: str

    @property
    def text(self) -> str:
        """It in one line."""
        values = f": {self.baseline!r} → {self.candidate!r}" if self.is_outside_bodies else ""
        return f"{self.request} {self.place}{values}"

    @property
    def is_outside_bodies(self) -> bool:
        """Whether it is about a header or the status."""
        return self.place == "status" or self.place.startswith("headers.")


@dataclass(frozen=True)
class Result:
    """How the found differences and the listed ones go together.

    Args:
        compared: How many answers were compared.
        counts: How often each listed difference was found.
        unlisted: What was found and is not listed, with how often.
    """

    compared: int
    counts: dict[Listed, int]
    unlisted: dict[Found, int]

    @property
    def missing(self) -> list[Listed]:
        """What is listed and was not found."""
        return [each for each, number in self.counts.items() if not number]

    @property
    def problem(self) -> str:
        """What is wrong, in one line; empty when just the listed ones were found."""
        parts = [f"not listed: {found.text} ({number} times)"
                 for found, number in list(self.unlisted.items())[:5]]
        parts += [f"listed and not found: {each.text}" for each in self.missing]
        return "; ".join(parts)


def read(path: Path) -> list[Listed]:
    """Return the differences that a file lists.

    Raises:
        InvalidInput: An entry is not understood.
    """
    try:
        return [Listed(**entry) for entry in yaml.safe_load(path.read_text())]
    except TypeError as error:
        raise InvalidInput(f"an entry is not understood: {error}", where=str(path),
                           allowed="request, place, why, baseline, candidate") from error


def found_in(store: Store, migration: str) -> Counter[Found]:
    """Return every difference of the saved pairs, with how often it was found."""
    found: Counter[Found] = Counter()
    after = 0
    while batch := comparisons.saved_answers(store, migration, after=after):
        after = batch[-1][0]
        for _, one in batch:
            kept = opened(one.answers or b"")
            for place in kept.found:
                found[Found(one.request, place, _value(kept.answers[0], place),
                            _value(kept.answers[1], place))] += 1
    return found


def _value(answer: Answer, place: str) -> str:
    if place == "status":
        return str(answer.status)
    return answer.headers.get(place.removeprefix("headers."), "")


def compared(listed: Iterable[Listed], found: Counter[Found], number: int) -> Result:
    """Return how listed and found differences go together. Pure.

    Args:
        listed: What was listed beforehand.
        found: What was found, with how often.
        number: How many answers were compared.
    """
    counts = dict.fromkeys(listed, 0)
    unlisted: dict[Found, int] = {}
    for each, times in found.items():
        covering = [known for known in counts if known.covers(each)]
        for known in covering:
            counts[known] += times
        if not covering:
            unlisted[each] = times
    return Result(number, counts, unlisted)


def examine(store: Store, migration: str, listed: Iterable[Listed]) -> Result:
    """Return how the migration's differences so far go together with the listed ones."""
    coverage = comparisons.coverage(store, migration)
    return compared(listed, found_in(store, migration), coverage.get("compared", 0))
