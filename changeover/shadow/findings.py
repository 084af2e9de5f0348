"""What differs between the two systems, judged and described. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from changeover.comparison.noise import Judgement, PlaceCounts, PlaceVerdict, judge_places
from changeover.domain.comparisons import FURTHER, LONGEST_PLACE, Place
from changeover.plan.paths import LONGEST_PATTERN, is_in_body
from changeover.shadow.rules_in_words import RuleInWords, at_place

_RANK = [Judgement.REGRESSION, Judgement.INCONCLUSIVE, Judgement.NOISE, Judgement.QUIET]
_NOT_IN_YAML = re.compile("[\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
NEARLY = 0.01
"""For numbers that differ by this share at most, a tolerance is suggested."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One place that differs: the counts, the judgement, examples, and what to do about it.

    `rules` are the plan's rules that apply there, in words, with their owner and reason. `rule` is
    one that would allow the difference, as it is written under `comparison`; empty for none.
    """

    place: Place
    verdict: PlaceVerdict
    suggestion: str
    rules: tuple[str, ...] = ()
    rule: str = ""

    @property
    def as_yaml(self) -> str:
        """The rule as a part of a plan; empty where none is suggested."""
        return f"comparison:\n  {self.rule}\n" if self.rule else ""


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do about a difference: why, and the rule that would allow it, if any would."""

    why: str
    rule: str = ""

    @property
    def text(self) -> str:
        """Both in one line."""
        return "; ".join(filter(None, (self.why, self.rule)))


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that is known about the differences, regressions first.

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
        places = []
        for each in self.findings:
            place = each.place
            places.append({
                **asdict(each.verdict),
                "counts": place.counts,
                "ignored": place.ignored,
                "rules": each.rules,
                "suggestion": each.suggestion,
                "first_seen": place.first_seen.isoformat(),
                "last_seen": place.last_seen.isoformat(),
                "examples": place.examples,
            })
        return {
            "match_rate": self.match_rate,
            "coverage": self.coverage,
            "median_seconds": self.latency,
            "places": places,
        }


def judged(
    known: Sequence[Place], coverage: dict[str, int], rules: Sequence[RuleInWords],
    latencies: Sequence[tuple[float, float]],
) -> Findings:
    """Return what differs, judged and described.

    Args:
        known: Every place that differs.
        coverage: How many copied requests had which outcome.
        rules: The plan's rules in words.
        latencies: Seconds of (baseline, candidate) for the same requests.
    """
    verdicts = judge_places([counts_of(place, coverage) for place in known])
    found = []
    for place, verdict in zip(known, verdicts, strict=True):
        advice, applied = advise(place, verdict), at_place(rules, place.field)
        found.append(Finding(place, verdict, advice.text, applied, advice.rule))
    found.sort(key=_urgency)
    return Findings(tuple(found), coverage, _medians(latencies))


def _urgency(each: Finding) -> tuple[int, float]:
    return _RANK.index(each.verdict.judgement), -each.verdict.rate


def counts_of(place: Place, coverage: dict[str, int]) -> PlaceCounts:
    """Return what a place is judged by.

    Args:
        place: A place that differs.
        coverage: How many copied requests had which outcome.
    """
    return PlaceCounts(
        place.field, coverage.get("compared", 0), place.diverged, coverage.get("paired", 0),
        place.only_candidate, place.only_baseline, place.both,
    )


def _medians(pairs: Sequence[tuple[float, float]]) -> tuple[float, float] | None:
    if not pairs:
        return None
    middle = len(pairs) // 2
    baseline = sorted(pair[0] for pair in pairs)
    candidate = sorted(pair[1] for pair in pairs)
    return baseline[middle], candidate[middle]


def suggest(place: Place, verdict: PlaceVerdict) -> str:
    """Return one line of advice: a rule that would allow it, or that it is a regression."""
    return advise(place, verdict).text


def advise(place: Place, verdict: PlaceVerdict) -> Advice:
    """Return a rule that would allow a difference, or why none does.

    A rule is written as under `comparison` in a plan.
    """
    kinds = set(place.counts)
    is_noise = verdict.judgement is Judgement.NOISE
    if kinds == {"error"}:
        return Advice(_who_fails(place))
    if not (place.diverged or is_noise):
        return Advice("nothing to do")
    if not is_in_body(place.field):
        return Advice(_outside_bodies(place.field, is_noise=is_noise))
    path = _written(place.field)
    if path is None:
        return Advice("the path is too long for a rule; write one for a place above it")
    if is_noise:
        return Advice("noise: the baseline differs from itself too", f"ignore: [{path}]")
    if kinds == {"order"}:
        return Advice("only the order differs", f"arrays: {{{path}: {{as: set}}}}")
    # A tolerance is advised only where all examples would pass by it.
    pairs = list(_example_values(place))
    for fits, why, rule in _ADVICE:
        if pairs and all(fits(a, b) for a, b in pairs):
            return Advice(why, rule.format(path=path))
    return Advice("a regression unless a rule says why it may differ")


def _outside_bodies(place: str, *, is_noise: bool) -> str:
    """Advise on what no pattern can name: the status, a header, places that are counted as one."""
    if place == FURTHER:
        return "further places, counted as one; a rule for a place above them makes them fewer"
    kind, _, header = place.partition(".")
    if kind not in ("headers", "trailers"):
        kind, header = "", place
    if is_noise:
        noise = "noise: the baseline differs from itself too"
        if header == place:
            return noise
        return f"{noise}; leave {header} out of comparison.{kind}"
    if header == place:
        return "a regression"
    way = f"leave {header} out of comparison.{kind}"
    return f"a regression, unless it may differ: then {way}"


def _written(place: str) -> str | None:
    """Return a place as it is written in a plan's YAML; None when it is too long for a pattern."""
    if len(place) >= min(LONGEST_PATTERN, LONGEST_PLACE):
        return None
    # YAML would read brackets and quotes as its own: such a place is written as a JSON text.
    if re.fullmatch(r"[\w$.-]+", place) is not None:
        return place
    written = json.dumps(place, ensure_ascii=False)
    # JSON takes these as they are, YAML folds them as ends of lines or refuses them
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def _who_fails(place: Place) -> str:
    sides = set()
    for one in place.examples:
        sides.add((one["baseline"] is not None, one["candidate"] is not None))
    if sides == {(True, True)}:
        return "both systems fail: there is nothing to compare"
    if sides == {(True, False)}:
        return "the baseline fails or answers something unreadable: nothing to compare with"
    return "the candidate fails or answers something unreadable: fix it"


def _example_values(place: Place) -> Iterator[tuple[Any, Any]]:
    for example in place.examples:
        try:
            baseline = orjson.loads(example["baseline"] or "null")
            candidate = orjson.loads(example["candidate"] or "null")
        # Cut or masked: without the whole value nothing can be advised.
        except orjson.JSONDecodeError:
            return
        yield baseline, candidate


def _is_near(a: Any, b: Any) -> bool:
    # By type, as `True` is an integer in Python.
    are_numbers = type(a) in (int, float) and type(b) in (int, float)
    return are_numbers and a != b and abs(a - b) <= NEARLY * max(abs(a), abs(b))


def _texts(test: Callable[[str, str], bool]) -> Callable[[Any, Any], bool]:
    return lambda a, b: isinstance(a, str) and isinstance(b, str) and test(a, b)


_ADVICE: list[tuple[Callable[[Any, Any], bool], str, str]] = [
    (lambda a, b: {type(a), type(b)} == {int, float} and a == b,
     "the same number of another type", "rules: [{{path: {path}, type_tolerant: true}}]"),
    (_is_near, "numbers within 1 %", "numeric: {{{path}: {{relative: 0.01}}}}"),
    (_texts(lambda a, b: a.casefold() == b.casefold()),
     "only upper and lower case", "text: {{{path}: {{ignore_case: true}}}}"),
    (_texts(lambda a, b: a.split() == b.split()),
     "only blanks", "text: {{{path}: {{ignore_whitespace: true}}}}"),
    (_texts(lambda a, b: re.sub(r"\d", "0", a) == re.sub(r"\d", "0", b)),
     "only digits, as in times and ids", "ignore: [{path}]"),
    (lambda a, b: a is None and b is None, "null on one side, missing on the other",
     "rules: [{{path: {path}, null_equals_missing: true}}]"),
]
