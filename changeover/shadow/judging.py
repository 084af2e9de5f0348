"""From two answers to what the store keeps of them: compared, masked, cut. Pure.

Credentials are never kept: of a request only its line is, with secret parameters masked, and of
the answers only the compared headers and the masked bodies.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson

from changeover.comparison.answers import Answer, compare_answers
from changeover.comparison.documents import Unparsable, parse_json
from changeover.comparison.encodings import Undecodable, decoded
from changeover.comparison.from_plan import rules_of
from changeover.comparison.rules import Node, Rule, RuleSet
from changeover.comparison.similarity import Comparison
from changeover.plan.comparing import ComparisonSpec, ShadowSpec
from changeover.plan.paths import Wild, parse_pattern
from changeover.store.comparisons import Compared, Example

MASK = "***"
LONGEST_REQUEST = 500
MOST_ANSWER_BYTES = 1_048_576
"""Of a body, as it came and unpacked."""
_SECRET = re.compile(
    r"((?:^|[?&;])[^=&;]*(?:token|key|secret|passw|auth|session|sign)[^=&;]*=)[^&;]*", re.IGNORECASE
)
_CREDENTIAL = re.compile("cookie|auth|token|secret|session|api-?key", re.IGNORECASE)
"""Headers that are compared, when the plan says so, and stored as `***`."""


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
    masks: RuleSet

    @classmethod
    def of(
        cls, shadow: ShadowSpec | None, comparison: ComparisonSpec | None, *, today: date
    ) -> Judge:
        """Return the judge of a plan."""
        spec = comparison or ComparisonSpec()
        masks = RuleSet((path, Rule(ignore=True)) for path in (shadow.mask if shadow else ()))
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
            self.threshold < 1 and found.similarity >= self.threshold and not candidate.error
        )
        line = _masked_line(request)
        return Compared(
            at=at, request=line, request_id=request_id, similarity=found.similarity,
            is_match=is_match, baseline_seconds=baseline.duration,
            candidate_seconds=candidate.duration, found=self._examples(found, line),
            ignored=frozenset(divergence.field for divergence in found.ignored),
            omitted=found.omitted,
            noisy=None if noise is None else noise.fields, error=candidate.error,
            answers=self._pack(baseline, candidate) if keeps and not found.is_match else None,
        )

    def _examples(self, found: Comparison, request: str) -> dict[str, Example]:
        """Return the first divergence of each place."""
        examples: dict[str, Example] = {}
        for one in found.divergences:
            if one.field not in examples:
                values = (one.baseline, one.candidate)
                if self._is_masked(one.field):
                    values = (MASK, MASK)
                examples[one.field] = Example(request, one.path, str(one.kind), *values)
        return examples

    def _is_masked(self, place: str) -> bool:
        node = self.masks.root
        if place.startswith("headers."):
            return bool(_CREDENTIAL.search(place))
        if node.is_inert or not place.startswith("$"):
            return False
        for step in parse_pattern(place[:LONGEST_REQUEST]):
            if node.rule.ignore:
                return True
            node = node.child(0 if step.token is Wild.ANY else step.token)
        return node.rule.ignore

    def _pack(self, *answers: Answer) -> bytes:
        return zlib.compress(orjson.dumps([self._kept(answer) for answer in answers]), 1)

    def _kept(self, answer: Answer) -> dict[str, Any]:
        names = {*self.headers, "content-type"}
        kept = {
            "status": answer.status, "error": answer.error, "duration": answer.duration,
            "headers": {k: MASK if _CREDENTIAL.search(k) else v
                        for k, v in answer.headers.items() if k in names},
        }
        body = self._masked(answer)
        try:
            return {**kept, "text": body.decode()}
        except UnicodeDecodeError:
            return {**kept, "base64": base64.b64encode(body).decode()}

    def _masked(self, answer: Answer) -> bytes:
        """Return a body without what may not be stored; one that cannot be read is left out."""
        if self.masks.root.is_inert or not answer.body:
            return answer.body
        try:
            return orjson.dumps(_masked_value(parse_json(answer.body), self.masks.root))
        except (Unparsable, TypeError, RecursionError):
            return b""


def unpacked(answers: bytes) -> tuple[Answer, Answer]:
    """Return the kept answers (baseline, candidate) of a comparison."""
    baseline, candidate = (_answer(kept) for kept in orjson.loads(zlib.decompress(answers)))
    return baseline, candidate


def _answer(kept: dict[str, Any]) -> Answer:
    body = base64.b64decode(kept["base64"]) if "base64" in kept else kept["text"].encode()
    return Answer(kept["status"], kept["headers"], body, kept["duration"], kept["error"])


def answer_of(
    status: int, headers: Iterable[tuple[str, str]], body: bytes, duration: float
) -> Answer:
    """Return what a system answered, unpacked; `error` says why it cannot be, if it cannot."""
    found = headers_of(headers)
    try:
        body = decoded(body, found.get("content-encoding", ""), most=MOST_ANSWER_BYTES)
    except Undecodable as error:
        return Answer(status, found, b"", duration, f"unreadable body: {error}")
    return Answer(status, found, body, duration)


def headers_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by name in lower case; repeated ones are joined."""
    found: dict[str, str] = {}
    for name, value in pairs:
        name = name.lower()
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _masked_line(request: str) -> str:
    line, mark, query = request.partition("?")
    return (line + mark + _SECRET.sub(rf"\1{MASK}", query))[:LONGEST_REQUEST]


def _masked_value(value: Any, node: Node) -> Any:
    if node.rule.ignore:
        return MASK
    if node.is_inert:
        return value
    if isinstance(value, dict):
        return {key: _masked_value(item, node.child(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked_value(item, node.child(index)) for index, item in enumerate(value)]
    return value
