"""What differs between the two systems, judged and put in words. Reads the store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from changeover import clock
from changeover.comparison.noise import Judgement, PlaceCounts, PlaceVerdict, judge_places
from changeover.plan.model import Plan
from changeover.shadow.judging import Judge, unpacked
from changeover.shadow.rules_told import at_place, rules_told
from changeover.store import comparisons, plans
from changeover.store.comparisons import Compared, Place
from changeover.store.engine import Store

_RANK = [Judgement.REGRESSION, Judgement.INCONCLUSIVE, Judgement.NOISE, Judgement.QUIET]
NEARLY = 0.01
"""Numbers that are this share apart at most are worth a tolerance."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that differs: the counts, the judgement, examples, and what to do about it.

    `rules` are those of the plan that hold there, in words, with their owner and reason.
    """

    place: Place
    verdict: PlaceVerdict
    suggestion: str
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that is known of the differences, regressions first.

    `coverage` says how many requests were seen, compared, paired, and dropped for which reason.
    `latency` has the median seconds of (baseline, candidate) for the same requests.
    """

    findings: tuple[Finding, ...]
    coverage: dict[str, int]
    latency: tuple[float, float] | None

    @property
    def match_rate(self) -> float | None:
        """Share of compared requests that match; None before the first."""
        compared = self.coverage.get("compared", 0)
        return self.coverage.get("matched", 0) / compared if compared else None

    def as_data(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {
            "match_rate": self.match_rate, "coverage": self.coverage,
            "median_seconds": self.latency,
            "places": [
                {**asdict(each.verdict), "counts": each.place.counts,
                 "ignored": each.place.ignored, "rules": each.rules,
                 "suggestion": each.suggestion,
                 "first_seen": each.place.first_seen.isoformat(),
                 "last_seen": each.place.last_seen.isoformat(), "examples": each.place.examples}
                for each in self.findings
            ],
        }


def collect(store: Store, migration: str) -> Findings:
    """Return what differs between a migration's systems.

    Raises:
        StoreError: The store cannot be used.
        InvalidInput: No such migration.
    """
    rules = rules_told(plans.load(store, migration).comparison, today=clock.now().date())
    coverage = comparisons.coverage(store, migration)
    known = comparisons.places(store, migration)
    verdicts = judge_places([_counts(place, coverage) for place in known])
    found = [
        Finding(place, verdict, suggest(place, verdict), at_place(rules, place.field))
        for place, verdict in zip(known, verdicts, strict=True)
    ]
    found.sort(key=lambda each: (_RANK.index(each.verdict.judgement), -each.verdict.rate))
    return Findings(tuple(found), coverage, _medians(comparisons.latencies(store, migration)))


def score_again(store: Store, plan: Plan, judge: Judge) -> int:
    """Judge the kept pairs by the plan's rules as they are now; return how many there were.

    Only pairs that are kept can be scored again, and only those that differed are kept; the counts
    of places begin anew with them.
    """
    comparisons.forget(store, plan.migration)
    after = number = 0
    while batch := comparisons.kept_answers(store, plan.migration, after=after):
        again = [(key, _judged_again(one, judge)) for key, one in batch]
        comparisons.replace_scores(store, plan.migration, again)
        after, number = batch[-1][0], number + len(batch)
    return number


def _judged_again(one: Compared, judge: Judge) -> Compared:
    baseline, candidate = unpacked(one.answers or b"")
    found = judge.judged(
        at=one.at, request=one.request, request_id=one.request_id, baseline=baseline,
        candidate=candidate, keeps=False,
    )
    return replace(found, answers=one.answers)


def _counts(place: Place, coverage: dict[str, int]) -> PlaceCounts:
    return PlaceCounts(
        place.field, coverage.get("compared", 0), place.diverged, coverage.get("paired", 0),
        place.only_candidate, place.only_baseline, place.both,
    )


def _medians(pairs: list[tuple[float, float]]) -> tuple[float, float] | None:
    if not pairs:
        return None
    sides = (sorted(pair[side] for pair in pairs) for side in (0, 1))
    baseline, candidate = (side[len(side) // 2] for side in sides)
    return baseline, candidate


def suggest(place: Place, verdict: PlaceVerdict) -> str:
    """Return one line of advice: a rule that would let it pass, or that it is a regression."""
    if verdict.judgement is Judgement.NOISE:
        return f"noise: the baseline differs from itself too; ignore: [{place.field}]"
    if not place.diverged:
        return "nothing to do"
    kinds = set(place.counts)
    if kinds == {"order"}:
        return f"only the order differs; arrays: {{{place.field}: {{as: set}}}}"
    if kinds <= {"error"}:
        return "the candidate fails or answers something unreadable: mend it"
    pairs = list(_example_values(place))
    for fits, advice in _ADVICE:
        if pairs and all(fits(a, b) for a, b in pairs):
            return advice.format(path=place.field)
    return "a regression unless a rule says why it may differ"


def _example_values(place: Place) -> Iterator[tuple[Any, Any]]:
    for example in place.examples:
        try:
            baseline, candidate = (
                orjson.loads(example[side] or "null") for side in ("baseline", "candidate")
            )
        except orjson.JSONDecodeError:
            return
        yield baseline, candidate


def _is_near(a: Any, b: Any) -> bool:
    numbers = all(type(value) in (int, float) for value in (a, b))
    return numbers and a != b and abs(a - b) <= NEARLY * max(abs(a), abs(b))


def _texts(test: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    return lambda a, b: isinstance(a, str) and isinstance(b, str) and test(a, b)


_ADVICE: list[tuple[Callable[[Any, Any], bool], str]] = [
    (lambda a, b: {type(a), type(b)} == {int, float} and a == b,
     "the same number of another type; rules: [{{path: {path}, type_tolerant: true}}]"),
    (_is_near, "numbers within 1 %; numeric: {{{path}: {{relative: 0.01}}}}"),
    (_texts(lambda a, b: a.casefold() == b.casefold()),
     "only upper and lower case; text: {{{path}: {{ignore_case: true}}}}"),
    (_texts(lambda a, b: a.split() == b.split()),
     "only blanks; text: {{{path}: {{ignore_whitespace: true}}}}"),
    (_texts(lambda a, b: re.sub(r"\d", "0", a) == re.sub(r"\d", "0", b)),
     "only digits, as in times and ids; ignore: [{path}]"),
    (lambda a, b: a is None and b is None,
     "null on one side, missing on the other; "
     "rules: [{{path: {path}, null_equals_missing: true}}]"),
]
