"""From two answers to what the store saves of them: compared, masked, cut. Pure.

Credentials are never saved. Of a request only its line is, with secret parameters masked; of the
answers, only the compared headers and the masked bodies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from changeover.comparison.answers import GRPC_STATUS, GRPC_TRAILERS, Answer, compare_answers
from changeover.comparison.encodings import Undecodable, Unknown, decoded, readable, too_large
from changeover.comparison.from_plan import rules_of
from changeover.comparison.rules import RuleSet
from changeover.comparison.similarity import Comparison, Divergence, show
from changeover.domain.comparisons import Compared, Example, Rescored
from changeover.domain.route_matching import Request, route_of
from changeover.plan.comparing import ComparisonSpec, ShadowSpec
from changeover.plan.routes import RouteSpec
from changeover.shadow.kept import opened, packed
from changeover.shadow.masking import LONGEST_REQUEST, MASK, Masks, is_credential, masked_line

MOST_ANSWER_BYTES = 1_048_576
"""Of a body, as it came and unpacked."""
_UNREADABLE = "unreadable body: "


@dataclass(frozen=True, slots=True)
class Asked:
    """A user's request: when it came, its method and path, and its id at the gateway."""

    at: datetime
    request: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to one request; `again` is the baseline's second one, when it was asked twice."""

    baseline: Answer
    candidate: Answer
    again: Answer | None = None

    @property
    def all(self) -> tuple[Answer, ...]:
        """The answers that there are."""
        pair = self.baseline, self.candidate
        return pair if self.again is None else (*pair, self.again)


@dataclass(frozen=True)
class Judge:
    """Compares by a plan's rules, and says what may be saved.

    Args:
        rules: What may differ.
        headers: Headers that are compared, in lower case.
        threshold: Answers at least this similar count as a match.
        masks: Places whose values are never saved.
        trailers: Trailers of gRPC that are compared, in lower case.
    """

    rules: RuleSet
    headers: tuple[str, ...]
    threshold: float
    masks: Masks
    of_routes: tuple[tuple[RouteSpec, Judge | None], ...] = ()
    """The judge of each route that has rules of its own, in the order in which routes match."""
    trailers: tuple[str, ...] = GRPC_TRAILERS

    @classmethod
    def of(
        cls, shadow: ShadowSpec | None, comparison: ComparisonSpec | None, *, today: date,
        routes: Iterable[RouteSpec] = (),
    ) -> Judge:
        """Return the judge of a plan."""
        spec = comparison or ComparisonSpec()
        masks = Masks(shadow.mask if shadow else ())
        trailers = GRPC_TRAILERS if spec.trailers is None else tuple(spec.trailers)
        found = cls(rules_of(comparison, today=today), tuple(spec.headers), spec.similarity, masks,
                    trailers=trailers)
        own: list[tuple[RouteSpec, Judge | None]] = []
        for each in routes:
            is_own = each.comparison is not None
            if each.is_told_by_line:
                own.append((each, cls.of(shadow, each.comparison, today=today) if is_own else None))
        return replace(found, of_routes=tuple(own)) if any(mine for _, mine in own) else found

    def of_line(self, line: str) -> Judge:
        """Return the judge of a request by its first line: its route's, or this one."""
        if not self.of_routes:
            return self
        method, _, path = line.partition(" ")
        route = route_of((each for each, _ in self.of_routes), Request(path, method))
        mine = next((judge for each, judge in self.of_routes if each is route), None)
        return mine or self

    def compare(self, baseline: Answer, candidate: Answer) -> Comparison:
        """Compare two answers to one request."""
        return compare_answers(
            baseline, candidate, self.rules, headers=self.headers, trailers=self.trailers)

    def judge(self, asked: Asked, answers: Answers, *, saves_answers: bool = True) -> Compared:
        """Return what the store saves of a comparison.

        Args:
            asked: The user's request.
            answers: What both systems answered.
            saves_answers: Whether the answers are saved where they differ.
        """
        if (mine := self.of_line(asked.request)) is not self:
            return mine.judge(asked, answers, saves_answers=saves_answers)
        baseline, candidate, again = answers.baseline, answers.candidate, answers.again
        found = self.compare(baseline, candidate)
        # Between two answers of one system: whatever differs there is noise.
        noise = None if again is None else self.compare(baseline, again)
        # A missing answer is never near enough, however low the threshold is.
        has_both = not (baseline.error or candidate.error)
        is_near = self.threshold < 1 and found.similarity >= self.threshold
        is_match = found.is_match or (is_near and has_both)
        line = masked_line(asked.request)[:LONGEST_REQUEST]
        ignored = [divergence.field for divergence in found.ignored]
        one = Compared(
            asked.at, line, asked.request_id, found.similarity, is_match,
            baseline_seconds=baseline.duration,
            candidate_seconds=candidate.duration,
            found=self._examples(found, line),
            ignored=self.masks.all_shown(ignored),
            noisy=None if noise is None else self.masks.all_shown(noise.fields),
            omitted=found.omitted,
            error=candidate.error,
        )
        # Equal answers teach nothing, and they are most of all.
        if found.is_match or not saves_answers:
            return one
        return replace(one, answers=self._pack(one, answers))

    def judge_again(self, key: int, one: Compared) -> Rescored | None:
        """Judge a saved pair by these rules; None when too much of it is masked for that.

        Args:
            key: Its id in the store.
            one: The comparison with its packed answers.
        """
        kept = opened(one.answers or b"")
        if not kept.is_scorable:
            return None
        answers = Answers(*kept.answers)
        asked = Asked(one.at, one.request, one.request_id)
        mine = self.of_line(one.request)
        found = mine.judge(asked, answers, saves_answers=False)
        after = replace(found, answers=mine._pack(found, answers))
        return Rescored(key, kept.counted(one), after)

    def _examples(self, found: Comparison, request: str) -> dict[str, Example]:
        """Return the first divergence of each place."""
        examples: dict[str, Example] = {}
        for one in found.divergences:
            place = self.masks.shown(one.field)
            if place not in examples:
                baseline, candidate = self._values(one)
                # Where the place is shortened by a mask, the exact path may name a secret, too.
                is_shown = place == one.field
                path = one.path if is_shown else self.masks.shown(one.path)
                examples[place] = Example(request, path, str(one.kind), baseline, candidate)
        return examples

    def _values(self, one: Divergence) -> tuple[str | None, str | None]:
        """Return both values as they may be saved."""
        header = one.field.removeprefix("headers.").removeprefix("trailers.")
        is_header = header != one.field
        if self.masks.covers(one.field) or (is_header and is_credential(header)):
            return MASK, MASK
        if is_header:
            first, second = one.values
            return _shown_header(first), _shown_header(second)
        return one.baseline, one.candidate

    def _pack(self, one: Compared, answers: Answers) -> bytes:
        """Return what is saved of answers.

        They can be scored again when the masked answers give the same result as the whole ones.
        Two bodies that are left out would look equal, for example.
        """
        names = {*self.headers, "content-type"}
        if any(answer.is_grpc for answer in answers.all):
            names |= {GRPC_STATUS, *self.trailers}
        hidden = self.masks.hide(answers.all, sorted(names))
        # Where nothing is masked the result is the same without comparing once more.
        pairs = zip(hidden, answers.all, strict=True)
        is_whole = all(_is_same(masked, answer, names) for masked, answer in pairs)
        is_scorable = is_whole or self._has_same_result(one, Answers(*hidden))
        return packed(hidden, one, is_scorable=is_scorable)

    def _has_same_result(self, one: Compared, answers: Answers) -> bool:
        """Whether comparing these answers gives the same result as `one`."""
        baseline, again = answers.baseline, answers.again
        found = self.compare(baseline, answers.candidate)
        noise = None if again is None else self.compare(baseline, again)
        noisy = None if noise is None else self.masks.all_shown(noise.fields)
        places = self.masks.all_shown(found.fields)
        is_as_similar = abs(found.similarity - one.similarity) < 1e-6
        return places == one.found.keys() and noisy == one.noisy and is_as_similar


def _shown_header(value: Any) -> str:
    """Return a header's value as it may be saved: `location` may have a token in its address."""
    return show(masked_line(value) if isinstance(value, str) else value)


def _is_same(masked: Answer, answer: Answer, names: Iterable[str]) -> bool:
    """Whether nothing of an answer's body and of these headers is masked."""
    if masked.body != answer.body:
        return False
    return all(masked.headers.get(name) == answer.headers.get(name) for name in names)


def answer_of(
    status: int, headers: Iterable[tuple[str, str]], body: bytes, duration: float,
    *, most: int = MOST_ANSWER_BYTES,
) -> Answer:
    """Return what a system answered, unpacked; `error` says why it cannot be, if it cannot.

    A body in an unknown encoding stays as it came: two of them can still be equal.

    Args:
        status: HTTP status.
        headers: Names and values as they came.
        body: As it came.
        duration: Seconds until the answer was whole.
        most: Bytes that a body may have, as it came and unpacked.
    """
    found = headers_of(headers)
    try:
        body = decoded(body, found.get("content-encoding", ""), most=most)
    except Unknown as error:
        return Answer(status, found, body, duration, sealed=str(error))
    # Without the body: what claims to be gzip and is not could be anything.
    except Undecodable as error:
        return Answer(status, found, b"", duration, f"{_UNREADABLE}{error}")
    return Answer(status, found, body, duration)


def is_too_large(answer: Answer, most: int) -> bool:
    """Whether a body has more than `most` bytes, so that nobody has read all of it."""
    return answer.error == f"{_UNREADABLE}{too_large(most)}"


def headers_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by name in lower case; repeated ones are joined.

    Bytes that are not UTF-8 become one U+FFFD each, as the gateway passes them on. The two systems'
    headers arrive in different ways, and the same bytes must become the same text.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        name, value = name.lower(), readable(value)
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
