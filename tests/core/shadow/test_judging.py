"""What is compared, kept and advised."""

from __future__ import annotations

import gzip
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.comparison.answers import Answer, compare_answers
from changeover.comparison.noise import PlaceCounts, judge_places
from changeover.comparison.similarity import show
from changeover.plan.comparing import ComparisonSpec, ShadowSpec
from changeover.shadow.findings import suggest
from changeover.shadow.judging import Judge, answer_of, unpacked
from changeover.store.comparisons import Place

NOW = datetime(2026, 11, 24, tzinfo=UTC)
JSON = {"content-type": "application/json"}


def answer(body: bytes = b"{}", status: int = 200, **fields: Any) -> Answer:
    return Answer(status, JSON, body, **fields)


def judged(baseline: Answer, candidate: Answer, again: Answer | None = None, **plan: Any) -> Any:
    shadow = ShadowSpec(mask=plan.pop("mask", []))
    judge = Judge.of(shadow, ComparisonSpec.model_validate(plan), today=NOW.date())
    return judge.judged(at=NOW, request="GET /a?api_key=hush&b=1", request_id="1",
                        baseline=baseline, candidate=candidate, again=again)


def test_status_and_selected_headers_count() -> None:
    """Each with its written weight."""
    assert compare_answers(answer(), answer(status=500)).similarity == 0.8
    other = Answer(200, {**JSON, "etag": "2"}, b"{}")
    found = compare_answers(answer(), other, headers=["etag"])
    assert ([d.path for d in found.divergences], found.similarity) == (["headers.etag"], 0.95)
    assert compare_answers(answer(), other, headers=["content-type"]).is_match


@pytest.mark.parametrize("broken", [answer(b"{"), answer(error="timeout")], ids=["body", "none"])
def test_candidate_that_fails_is_a_divergence(broken: Answer) -> None:
    """Never a gap."""
    found = judged(answer(b'{"a":1}'), broken)
    assert (found.similarity < 1, found.is_match) == (True, False)
    assert {example.kind for example in found.found.values()} == {"error"}


@pytest.mark.parametrize("reason", ["no connection", "timeout"])
def test_systems_that_fail_alike_are_no_match(reason: str) -> None:
    """Nothing was compared, so nothing agrees; not even when a threshold allows everything."""
    pair = answer(error="no connection"), answer(error=reason)
    assert (compare_answers(*pair).is_match, compare_answers(*pair).similarity) == (False, 0)
    found = judged(*pair, similarity=0)
    assert (found.is_match, found.error, set(found.found)) == (False, reason, {"answer"})
    assert not judged(answer(error="no connection"), answer(), similarity=0).is_match


def test_answers_are_compared_unpacked() -> None:
    """The user's browser asked for gzip; what the other system likes to send does not matter."""
    body = b'{"a": 1}'
    kind = ("content-type", "application/json")
    packed = answer_of(200, [kind, ("content-encoding", "gzip")], gzip.compress(body), 0.1)
    plain = answer_of(200, [kind], body, 0.1)
    assert (packed.body, plain.body) == (body, body)
    assert compare_answers(packed, plain, headers=["content-type"]).is_match
    broken = answer_of(200, [kind, ("content-encoding", "gzip")], body, 0.1)
    assert broken.error == "unreadable body: not gzip"
    assert not compare_answers(plain, broken).is_match


def test_second_baseline_answer_tells_the_noisy_places() -> None:
    """Which places differ by themselves."""
    found = judged(answer(b'{"t":1,"a":1}'), answer(b'{"t":2,"a":2}'), answer(b'{"t":3,"a":1}'))
    assert (set(found.found), found.noisy) == ({"$.t", "$.a"}, {"$.t"})


def test_masked_places_are_neither_kept_nor_shown() -> None:
    """Nor are secret parameters of the request."""
    found = judged(answer(b'{"card":"4111","a":[{"pin":1}]}'),
                   answer(b'{"card":"4222","a":[{"pin":2}]}'), mask=["$.card", "$..pin"])
    kept = [each.body for each in unpacked(found.answers)]
    assert kept == [b'{"card":"***","a":[{"pin":"***"}]}'] * 2
    assert {e.baseline for e in found.found.values()} == {"***"}
    assert found.request == "GET /a?api_key=***&b=1"


def test_credentials_in_compared_headers_are_not_stored() -> None:
    """That they differ is counted; what they are is nobody's business."""
    pair = [Answer(200, {**JSON, "set-cookie": f"sid={n}", "etag": f"e{n}"}, b"{}") for n in "12"]
    found = judged(*pair, headers=["set-cookie", "etag"])
    assert set(found.found) == {"headers.set-cookie", "headers.etag"}
    assert found.found["headers.set-cookie"].baseline == "***"
    assert [each.headers["set-cookie"] for each in unpacked(found.answers)] == ["***", "***"]
    assert b"sid=" not in zlib.decompress(found.answers)
    assert found.found["headers.etag"].baseline == '"e1"'


def test_threshold_lets_nearly_equal_answers_match() -> None:
    """When the plan says so; an error never matches."""
    pair = answer(b'{"a":1,"b":2}'), answer(b'{"a":1,"b":3}')
    assert not judged(*pair).is_match
    assert judged(*pair, similarity=0.5).is_match
    assert not judged(pair[0], answer(error="timeout"), similarity=0).is_match


def test_rules_expire() -> None:
    """From their day on they hide nothing."""
    rule = {"path": "$.a", "ignore": True, "owner": "ana", "reason": "known",
            "expires": "2026-11-25"}
    pair = answer(b'{"a":1}'), answer(b'{"a":2}')
    assert judged(*pair, rules=[rule]).is_match
    assert not judged(*pair, rules=[{**rule, "expires": "2026-11-24"}]).is_match


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from([
    "application/json", "text/html; charset=utf-8", "application/xml", "text/event-stream",
    "application/x-www-form-urlencoded", "text/plain; charset=latin-1", "image/png", "",
]))
def test_any_bytes_are_compared_without_an_exception(a: bytes, b: bytes, kind: str) -> None:
    """Total over bodies of every content type."""
    answers = [Answer(200, {"content-type": kind}, body) for body in (a, b)]
    assert 0 <= compare_answers(*answers).similarity <= 1
    assert compare_answers(answers[0], answers[0]).is_match


@pytest.mark.parametrize(("baseline", "candidate", "kinds", "words"), [
    (1, 1.0, {"type": 3}, "type_tolerant"), (10.0, 10.001, {"changed": 3}, "relative"),
    ("Ana", "ANA", {"changed": 3}, "ignore_case"), ("a  b", "a b", {"changed": 3}, "whitespace"),
    ("12:30", "12:31", {"changed": 3}, "only digits"), (None, None, {"added": 3}, "missing"),
    ([1], [1], {"order": 3}, "as: set"), ("a", "b", {"changed": 3}, "a regression"),
    ("a", "b", {"error": 3}, "mend it"),
], ids=str)
def test_advice_is_the_rule_that_would_let_it_pass(
    baseline: Any, candidate: Any, kinds: dict[str, int], words: str
) -> None:
    """Or that it is a regression."""
    example = {"baseline": show(baseline), "candidate": show(candidate)}
    place = Place("$.a", 3, 0, 3, 0, 0, kinds, [example], NOW, NOW)
    (verdict,) = judge_places([PlaceCounts("$.a", 30, 3, 10, 3, 0, 0)])
    assert words in suggest(place, verdict)
