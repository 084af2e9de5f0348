"""From two answers to what the store keeps of them: compared, masked, cut. Pure.

Credentials are never kept: of a request only its line is, with secret parameters masked, and of
the answers only the compared headers and the masked bodies.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

from changeover.comparison.answers import Answer, compare_answers
from changeover.comparison.encodings import Undecodable, Unknown, decoded, readable, too_large
from changeover.comparison.from_plan import rules_of
from changeover.comparison.rules import RuleSet
from changeover.comparison.similarity import Comparison, Divergence, show
from changeover.domain.comparisons import Compared, Example, Rescored
from changeover.plan.comparing import ComparisonSpec, ShadowSpec
from changeover.shadow.kept import opened, packed
from changeover.shadow.masking import LONGEST_REQUEST, MASK, Masks, is_credential, masked_line

MOST_ANSWER_BYTES = 1_048_576
"""Of a body, as it came and unpacked."""
_UNREADABLE = "unreadable body: "


@dataclass(frozen=True)
class Judge:
    """Compares by a plan's rules, and says what may be kept.

    Args:
        rules: What may differ.
        headers: Headers that are compared, in lower case.
        threshold: Answers at least this similar count as a match.
        masks: Places that are never stored.
    """

    rules: RuleSet
    headers: tuple[str, ...]
    threshold: float
    masks: Masks

    @classmethod
    def of(
        cls, shadow: ShadowSpec | None, comparison: ComparisonSpec | None, *, today: date
    ) -> Judge:
        """Return the judge of a plan."""
        spec = comparison or ComparisonSpec()
        masks = Masks(shadow.mask if shadow else ())
        return cls(rules_of(comparison, today=today), tuple(spec.headers), spec.similarity, masks)

    def compare(self, baseline: Answer, candidate: Answer) -> Comparison:
        """Compare two answers to one request."""
        return compare_answers(baseline, candidate, self.rules, headers=self.headers)

    def judged(
        self, *, at: datetime, request: str, request_id: str, baseline: Answer, candidate: Answer,
        again: Answer | None = None, keeps: bool = True,
    ) -> Compared:
        """Return what the store keeps of a pair.

        Args:
            at: When the user's request came.
            request: Method and path.
            request_id: The request's id at the gateway.
            baseline: The answer that the user got.
            candidate: The candidate's.
            again: The baseline's second answer, when it was asked for one.
            keeps: Whether the answers are kept where they differ.
        """
        found = self.compare(baseline, candidate)
        noise = None if again is None else self.compare(baseline, again)
        is_match = found.is_match or (
            self.threshold < 1 and found.similarity >= self.threshold
            and not (baseline.error or candidate.error)
        )
        line = masked_line(request)[:LONGEST_REQUEST]
        one = Compared(
            at=at, request=line, request_id=request_id, similarity=found.similarity,
            is_match=is_match, baseline_seconds=baseline.duration,
            candidate_seconds=candidate.duration, found=self._examples(found, line),
            ignored=self.masks.all_shown(divergence.field for divergence in found.ignored),
            omitted=found.omitted,
            noisy=None if noise is None else self.masks.all_shown(noise.fields),
            error=candidate.error,
        )
        if found.is_match or not keeps:
            return one
        return replace(one, answers=self._pack(one, _without_none(baseline, candidate, again)))

    def judged_again(self, key: int, one: Compared) -> Rescored | None:
        """Judge a kept pair anew; None when what is kept of it cannot say how it would be judged.

        Args:
            key: Its id in the store.
            one: The comparison with its packed answers.
        """
        kept = opened(one.answers or b"")
        if not kept.is_scorable:
            return None
        baseline, candidate, *again = kept.answers
        found = self.judged(
            at=one.at, request=one.request, request_id=one.request_id, baseline=baseline,
            candidate=candidate, again=again[0] if again else None, keeps=False,
        )
        after = replace(found, answers=self._pack(found, kept.answers))
        return Rescored(key, kept.counted(one), after)

    def _examples(self, found: Comparison, request: str) -> dict[str, Example]:
        """Return the first divergence of each place."""
        examples: dict[str, Example] = {}
        for one in found.divergences:
            place = self.masks.shown(one.field)
            if place not in examples:
                baseline, candidate = self._values(one)
                path = one.path if place == one.field else self.masks.shown(one.path)
                examples[place] = Example(request, path, str(one.kind), baseline, candidate)
        return examples

    def _values(self, one: Divergence) -> tuple[str | None, str | None]:
        """Return both values as they may be stored."""
        header = one.field.removeprefix("headers.")
        if self.masks.covers(one.field) or (header != one.field and is_credential(header)):
            return MASK, MASK
        if header != one.field:
            first, second = (show(masked_line(each) if isinstance(each, str) else each)
                             for each in one.values)
            return first, second
        return one.baseline, one.candidate

    def _pack(self, one: Compared, answers: Sequence[Answer]) -> bytes:
        """Return what is kept of answers.

        They can be scored again when, masked as they are kept, they are judged as they were whole:
        a body that is left out would agree with another one that is.
        """
        names = {*self.headers, "content-type"}
        hidden = self.masks.hide(answers, sorted(names))
        is_whole = all(
            kept.body == answer.body
            and all(kept.headers.get(name) == answer.headers.get(name) for name in names)
            for kept, answer in zip(hidden, answers, strict=True)
        )
        return packed(hidden, one, is_scorable=is_whole or self._is_told_by(one, hidden))

    def _is_told_by(self, one: Compared, answers: Sequence[Answer]) -> bool:
        baseline, candidate, *again = answers
        found = self.compare(baseline, candidate)
        noisy = self.masks.all_shown(self.compare(baseline, again[0]).fields) if again else None
        return (self.masks.all_shown(found.fields) == one.found.keys() and noisy == one.noisy
                and abs(found.similarity - one.similarity) < 1e-6)


def _without_none(*answers: Answer | None) -> list[Answer]:
    return [answer for answer in answers if answer is not None]


def answer_of(
    status: int, headers: Iterable[tuple[str, str]], body: bytes, duration: float,
    *, most: int = MOST_ANSWER_BYTES,
) -> Answer:
    """Return what a system answered, unpacked; `error` says why it cannot be, if it cannot.

    A body in an encoding that is not known is kept as it came: two can still be the same.

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
    except Undecodable as error:
        return Answer(status, found, b"", duration, f"{_UNREADABLE}{error}")
    return Answer(status, found, body, duration)


def is_too_large(answer: Answer, most: int) -> bool:
    """Whether a body has more than `most` bytes: all of it, nobody has seen."""
    return answer.error == f"{_UNREADABLE}{too_large(most)}"


def headers_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by name in lower case; repeated ones are joined.

    Bytes that are not UTF-8 are one U+FFFD each, as the gateway hands them on: the two systems'
    headers come by different ways, and the same bytes must be the same text.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        name, value = name.lower(), readable(value)
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
