"""Comparing two answers: status, selected headers, body. Pure and total.

An answer weighs 1: the status a fifth, the selected headers a twentieth when there are any, gRPC's
status a fifth and its other trailers a twentieth where they differ, the body the rest (see
similarity.py for how the body's weight is shared). A system that did not answer
has nothing in common with any: two that fail alike were not compared, and are no match.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from changeover.comparison.diff import MOST_DIVERGENCES, compare
from changeover.comparison.documents import Unparsable, is_json, is_opaque, is_text, parse_body
from changeover.comparison.json_text import may_underflow
from changeover.comparison.markup import Element
from changeover.comparison.rules import NO_RULES, RuleSet
from changeover.comparison.similarity import (
    IDENTICAL,
    MISSING,
    Comparison,
    Divergence,
    Kind,
    similarity_of,
)
from changeover.comparison.trees import compare_trees

STATUS_WEIGHT = 0.2
HEADERS_WEIGHT = 0.05
GRPC_TYPE = "application/grpc"
GRPC_STATUS = "grpc-status"
GRPC_TRAILERS = (GRPC_STATUS, "grpc-message")
_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a system answered; `error` says why there is no answer, and is empty otherwise.

    `headers` have names in lower case; those of a call of gRPC have its trailers, too, since a call
    without messages sends them as headers. `duration` is in seconds. `sealed` says why a body
    cannot be read, for instance an unknown content encoding: `body` is then the bytes as they were
    sent.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    duration: float = 0.0
    error: str = ""
    sealed: str = ""

    @property
    def content_type(self) -> str:
        """The content type, empty when none was given."""
        return self.headers.get("content-type", "")

    @property
    def is_grpc(self) -> bool:
        """Whether it ends with gRPC's trailers."""
        return self.content_type.startswith(GRPC_TYPE)


def compare_answers(
    baseline: Answer, candidate: Answer, rules: RuleSet = NO_RULES, *,
    headers: Sequence[str] = (), trailers: Sequence[str] = GRPC_TRAILERS,
    ignores_status: bool = False,
) -> Comparison:
    """Compare two answers.

    Args:
        baseline: The baseline's answer.
        candidate: The candidate's.
        rules: What is allowed to differ in bodies.
        headers: Names, in lower case, of the headers that are compared.
        trailers: Names, in lower case, of the trailers of gRPC that are compared.
        ignores_status: Whether any two statuses are the same.
    """
    if baseline.error or candidate.error:
        return _failed("answer", (baseline.error or MISSING, candidate.error or MISSING))
    body = _sealed_bodies(baseline, candidate) or compare_bodies(
        baseline.body, candidate.body, (baseline.content_type, candidate.content_type), rules)
    found: list[Divergence] = []
    if baseline.status != candidate.status and not ignores_status:
        found.append(_changed("status", baseline.status, candidate.status, STATUS_WEIGHT))
    share = HEADERS_WEIGHT / len(headers) if headers else 0.0
    for name in headers:
        values = baseline.headers.get(name), candidate.headers.get(name)
        if values[0] != values[1]:
            found.append(_changed(f"headers.{name}", *values, share))
    of_call = _trailers(baseline, candidate, trailers)
    found += of_call
    # Most answers are: they share one object.
    if not found and body is IDENTICAL:
        return IDENTICAL
    left = 1 - STATUS_WEIGHT - (HEADERS_WEIGHT if headers else 0.0)
    # as much as differs: of a call whose trailers are the same nothing is missing
    left -= sum(divergence.weight for divergence in of_call)
    lost = [divergence.weight for divergence in found]
    lost.append(left * (1 - body.similarity))
    divergences = (*found, *body.divergences)
    similarity = similarity_of(lost) if divergences else 1.0
    return Comparison(similarity, divergences, body.ignored, body.omitted)


def _trailers(baseline: Answer, candidate: Answer, names: Sequence[str]) -> list[Divergence]:
    """Return the trailers that differ; none where nobody knows those of the baseline.

    An Envoy that runs on with the configuration of an earlier version tells none.
    """
    if not baseline.is_grpc or GRPC_STATUS not in baseline.headers:
        return []
    others = [name for name in names if name != GRPC_STATUS]
    found = []
    for name in names:
        values = baseline.headers.get(name), candidate.headers.get(name)
        if values[0] != values[1]:
            weight = STATUS_WEIGHT if name == GRPC_STATUS else HEADERS_WEIGHT / len(others)
            found.append(_changed(f"trailers.{name}", *values, weight))
    return found


def compare_bodies(
    baseline: bytes, candidate: bytes, types: tuple[str, str], rules: RuleSet = NO_RULES
) -> Comparison:
    """Compare two bodies by their content types; identical bytes are not parsed.

    A body that is not what its type says is a divergence of kind `error`, never an exception. One
    that is empty is missing, whatever its type says; two empty ones are the same. So are the same
    bytes where one side's type says nothing of how to read them: a script is no other script when
    it is sent as `application/javascript` and as `text/javascript`.
    """
    baseline_type, candidate_type = types
    if baseline == candidate and (
            baseline_type == candidate_type or not baseline
            or is_opaque(baseline, baseline_type) or is_opaque(candidate, candidate_type)):
        return IDENTICAL
    try:
        values = _read(baseline, baseline_type), _read(candidate, candidate_type)
        found = _compare_values(*values, rules)
        # `1e-400` and `1e-401` are both 0 as floats. Only where nothing else differs does it
        # matter, and such numbers are rare: they are read twice instead of all with care.
        if not found.divergences and (may_underflow(baseline) or may_underflow(candidate)):
            ours = _read(baseline, baseline_type, is_exact=True)
            theirs = _read(candidate, candidate_type, is_exact=True)
            found = _compare_values(ours, theirs, rules)
    except Unparsable:
        return _with_unparsable(baseline, candidate, types, rules)
    return found


def _read(body: bytes, content_type: str, *, is_exact: bool = False) -> Any:
    if not body and not is_text(content_type):
        return MISSING
    return parse_body(body, content_type, is_exact=is_exact)


def _compare_values(a: Any, b: Any, rules: RuleSet) -> Comparison:
    """Compare what two bodies were read as: trees, documents, or one of each."""
    is_tree, is_other_tree = type(a) is Element, type(b) is Element
    if is_tree and is_other_tree:
        return compare_trees(a, b, rules, most_divergences=MOST_DIVERGENCES)
    if (is_tree or is_other_tree) and not rules.root.rule.ignore:
        kind = Kind.REMOVED if b is MISSING else Kind.ADDED if a is MISSING else Kind.TYPE
        return Comparison(0.0, (Divergence("$", "$", kind, (a, b), 1.0),))
    return compare(a, b, rules)


def _sealed_bodies(baseline: Answer, candidate: Answer) -> Comparison | None:
    """Compare bodies that cannot be read: the same bytes are the same, others an error."""
    if not (baseline.sealed or candidate.sealed):
        return None
    if (baseline.sealed, baseline.body) == (candidate.sealed, candidate.body):
        return IDENTICAL
    return _failed("$", (baseline.sealed or MISSING, candidate.sealed or MISSING))


def _with_unparsable(
    baseline: bytes, candidate: bytes, types: tuple[str, str], rules: RuleSet
) -> Comparison:
    """Compare bodies that are not both what their types say."""
    baseline_type, candidate_type = types
    reasons = _why_not(baseline, baseline_type), _why_not(candidate, candidate_type)
    if MISSING in reasons:
        return _failed("$", reasons)
    if is_json(baseline_type) and is_json(candidate_type):
        # Both write what is nearly JSON, and their clients accept it.
        with contextlib.suppress(Unparsable):
            ours = parse_body(baseline, baseline_type, is_lenient=True)
            theirs = parse_body(candidate, candidate_type, is_lenient=True)
            return compare(ours, theirs, rules)
    # Neither can be read: compare them as the bytes that they are.
    return compare(parse_body(baseline, _BYTES), parse_body(candidate, _BYTES), rules)


def _why_not(body: bytes, content_type: str) -> Any:
    """Return why a body is not what its type says; MISSING when it is."""
    try:
        _read(body, content_type)
    except Unparsable as error:
        return str(error)
    return MISSING


def _failed(path: str, reasons: tuple[Any, Any]) -> Comparison:
    return Comparison(0.0, (Divergence(path, path, Kind.ERROR, reasons, 1.0),))


def _changed(path: str, baseline: Any, candidate: Any, weight: float) -> Divergence:
    return Divergence(path, path, Kind.CHANGED, (baseline, candidate), weight)
