"""What is compared, kept and advised."""

from __future__ import annotations

import gzip
import re
import zlib
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from changeover.comparison.answers import Answer, compare_answers
from changeover.comparison.noise import PlaceCounts, judge_places
from changeover.comparison.similarity import show
from changeover.domain.comparisons import Place
from changeover.plan.comparing import ComparisonSpec, ShadowSpec
from changeover.plan.routes import RouteSpec
from changeover.shadow import masking
from changeover.shadow.findings import suggest
from changeover.shadow.judging import Answers, Asked, Judge, answer_of
from changeover.shadow.kept import opened, unpacked
from changeover.shadow.masking import masked_line

NOW = datetime(2026, 11, 24, tzinfo=UTC)
JSON = {"content-type": "application/json"}


def answer(body: bytes = b"{}", status: int = 200, **fields: Any) -> Answer:
    return Answer(status, JSON, body, **fields)


def judge_of(*, mask: tuple[str, ...] = (), **plan: Any) -> Judge:
    return Judge.of(ShadowSpec(mask=list(mask)), ComparisonSpec.model_validate(plan),
                    today=NOW.date())


def judged(baseline: Answer, candidate: Answer, again: Answer | None = None, **plan: Any) -> Any:
    return judge_of(**plan).judge(
        Asked(NOW, "GET /a?api_key=hush&b=1", "1"), Answers(baseline, candidate, again))


def call(status: str | None, message: str | None = None, body: bytes = b"abc") -> Answer:
    """Return an answer of gRPC with these trailers."""
    trailers = {"grpc-status": status, "grpc-message": message}
    shown = {name: value for name, value in trailers.items() if value is not None}
    return Answer(200, {"content-type": "application/grpc", **shown}, body)


@pytest.mark.parametrize(("baseline", "candidate", "trailers", "places"), [
    (call("0"), call("0"), None, set()),
    (call("0"), call("13", "no"), None, {"trailers.grpc-status", "trailers.grpc-message"}),
    (call("0"), call(None), None, {"trailers.grpc-status"}),
    (call("5", "no"), call("5", "gone"), None, {"trailers.grpc-message"}),
    (call("5", "no"), call("5", "gone"), ["grpc-status"], set()),
    (call("5", "no"), call("6", "no"), [], set()),
    (call(None), call("13"), None, set()),
], ids=["same", "error behind the same messages", "cut off", "message", "message is noise",
        "nothing is compared", "nobody knows the baseline's"])
def test_trailers_of_grpc_are_compared(
    baseline: Answer, candidate: Answer, trailers: list[str] | None, places: set[str]
) -> None:
    """Whatever the messages are; also again, from what was saved of the pair."""
    judge = judge_of(**({} if trailers is None else {"trailers": trailers}))
    one = judge.judge(Asked(NOW, "POST /a.B/C", "1"), Answers(baseline, candidate))
    assert set(one.found) == places
    assert one.is_match is not bool(places)
    assert one.similarity == pytest.approx(1 - sum(
        0.2 if place.endswith("status") else 0.05 for place in places))
    if one.answers is not None:
        saved = judge.judge_again(1, one)
        assert saved is not None and set(saved.after.found) == places
        less = judge_of(trailers=["x-other"]).judge_again(1, one)
        assert less is not None and less.after.is_match


@pytest.mark.parametrize(("line", "is_match"), [
    ("GET /orders/7?x=1", True), ("POST /orders", False), ("GET /orders/plain", False),
    ("GET /", False)])
def test_route_has_rules_of_its_own(line: str, is_match: bool) -> None:
    """The first route that matches says which rules there are; all others have the plan's."""
    routes = [RouteSpec.model_validate(each) for each in (
        {"name": "plain", "path": {"exact": "/orders/plain"}},
        {"name": "orders", "path": {"prefix": "/orders"}, "method": "GET",
         "comparison": {"ignore": ["$.at"]}})]
    judge = Judge.of(ShadowSpec(), None, today=NOW.date(), routes=routes)
    answers = Answers(answer(b'{"at":1}'), answer(b'{"at":2}'))
    found = judge.judge(Asked(NOW, line, "1"), answers)
    assert found.is_match is is_match
    saved = judge.judge_again(1, found) if found.answers else None
    assert saved is None or saved.after.is_match is is_match


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


@pytest.mark.parametrize("encoding", [
    "utf-8", "UTF-8", "none", "aws-chunked", "identity, utf-8", "iso-8859-1", "binary",
])
def test_what_is_no_packing_is_not_undone(encoding: str) -> None:
    """Some systems write a charset there; the body is as it came."""
    headers = [("content-type", "application/json"), ("content-encoding", encoding)]
    found = answer_of(200, headers, b'{"a": 1}', 0.1)
    assert (found.body, found.error, found.sealed) == (b'{"a": 1}', "", "")
    assert judged(found, answer(b'{"a":1}')).is_match


def test_body_that_nobody_can_unpack_is_the_same_or_told() -> None:
    """Its bytes can be compared; what they say cannot. So it stays when it was kept."""
    headers = [("content-type", "application/json"), ("content-encoding", "compress")]
    one, other = (answer_of(200, headers, body, 0.1) for body in (b"\x1f\x9d1", b"\x1f\x9d2"))
    assert judged(one, one).is_match
    for pair in ((one, other), (one, answer()), (answer(), one)):
        found = judged(*pair)
        assert {place: each.kind for place, each in found.found.items()} == {"$": "error"}
        assert "unknown content encoding 'compress'" in str(found.found["$"])
        again = judge_of().judge_again(1, found)
        assert again is not None
        assert again.after.found.keys() == found.found.keys()


XML_ANSWERS = [Answer(200, {"content-type": "application/xml"}, body.encode()) for body in (
    "<o><card n='4111'>5</card><a>1</a></o>", "<o><card n='4222'>6</card><a>1</a></o>")]


@pytest.mark.parametrize("mask", [["/o/card"], ["//card"], ["/o/card/text()", "//@n"],
                                  ["/o/*", "//@*"], ["/"]])
def test_masked_places_of_trees_are_neither_kept_nor_shown(mask: list[str]) -> None:
    """Attributes and texts; the bodies are left out, as they are not JSON."""
    found = judged(*XML_ANSWERS, mask=mask)
    assert found.found
    assert {example.baseline for example in found.found.values()} == {"***"}
    assert not re.search(b"4111|4222", zlib.decompress(found.answers))


def test_differences_in_trees_are_counted_at_their_places() -> None:
    """With their rules, and scored again from what was kept."""
    one = judged(*XML_ANSWERS)
    assert set(one.found) == {"/o/card/@n", "/o/card"}
    again = judge_of(ignore=["//@n"]).judge_again(1, one)
    assert again is not None
    assert (set(again.after.found), again.after.ignored) == ({"/o/card"}, {"/o/card/@n"})
    rules = {"numeric": {"/o/card": {"absolute": 1}}, "rules": [{"path": "//@n", "ignore": True}]}
    assert judged(*XML_ANSWERS, **rules).is_match


def test_long_decimals_are_masked_around() -> None:
    """Not a digit is lost in what is kept, also beside integers beyond 64 bits."""
    bodies = [b'{"card":%d,"n":[100000000000000.01,1e400,%s],"a":%d}' % (n, b"9" * 30, n)
              for n in (1, 2)]
    one = judged(*map(answer, bodies), mask=["$.card"])
    kept = opened(one.answers)
    assert kept.is_scorable
    assert b'"n":[100000000000000.01,1E+400,%s]' % (b"9" * 30) in kept.answers[0].body.replace(
        b" ", b"")


def test_second_baseline_answer_tells_the_noisy_places() -> None:
    """Which places differ by themselves."""
    found = judged(answer(b'{"t":1,"a":1}'), answer(b'{"t":2,"a":2}'), answer(b'{"t":3,"a":1}'))
    assert (set(found.found), found.noisy) == ({"$.t", "$.a"}, {"$.t"})


def test_masked_places_are_neither_kept_nor_shown() -> None:
    """Nor are secret parameters of the request. Whether both sides had the same stays known."""
    found = judged(answer(b'{"card":"4111","a":[{"pin":1}]}'),
                   answer(b'{"card":"4222","a":[{"pin":1}]}'), mask=["$.card", "$..pin"])
    cards, pins = zip(*((kept["card"], kept["a"][0]["pin"]) for kept in (
        orjson.loads(each.body) for each in unpacked(found.answers))), strict=True)
    assert {text[:3] for text in (*cards, *pins)} == {"***"}
    assert (cards[0] == cards[1], pins[0] == pins[1]) == (False, True)
    assert b"4111" not in zlib.decompress(found.answers)
    assert {e.baseline for e in found.found.values()} == {"***"}
    assert found.request == "GET /a?api_key=***&b=1"


@pytest.mark.parametrize("mask", ["$.i[1].p", "$.i[*].p", "$..p"])
def test_value_in_a_masked_item_is_not_shown(mask: str) -> None:
    """Examples stand at one place for all items, and items may have moved."""
    pair = [answer(b'{"i":[{"p":1},{"p":"%d"}]}' % card) for card in (4111, 4222)]
    (example,) = judged(*pair, mask=[mask]).found.values()
    assert (example.path, example.baseline, example.candidate) == ("$.i[1].p", "***", "***")


@pytest.mark.parametrize(("mask", "place"), [
    ("$.cards", "$.cards"), ("$.cards.*", "$.cards.*"), ("$..pin", "$.cards['4111'].pin"),
    ("$..*", "$.*"), ("$", "$"),
])
def test_key_below_a_masked_place_is_not_stored(mask: str, place: str) -> None:
    """A card's number may be the key; what is masked by name alone keeps the way to it."""
    pins = [answer(b'{"cards":{"4111":{"pin":%d}}}' % pin) for pin in (1, 2, 3)]
    found = judged(*pins, mask=[mask])
    assert (set(found.found), found.noisy) == ({place}, {place})
    (example,) = found.found.values()
    assert (example.path, example.baseline) == (place, "***")
    ignored = judged(*pins[:2], mask=[mask], ignore=["$.cards"]).ignored
    assert ignored == {{"$": "$", "$..*": "$.*"}.get(mask, "$.cards")}


def test_place_longer_than_a_pattern_is_looked_at_for_masks() -> None:
    """Keys may have any length."""
    key = "x y" * 300
    pair = [answer(b'{"%s":{"card":%d}}' % (key.encode(), card)) for card in (1, 2)]
    (example,) = judged(*pair, mask=["$..card"]).found.values()
    assert (len(example.path) > 500, example.baseline) == (True, "***")


def test_credentials_in_compared_headers_are_not_stored() -> None:
    """That they differ is counted; what they are is nobody's business."""
    pair = [Answer(200, {**JSON, "set-cookie": f"sid={n}", "etag": f"e{n}",
                         "location": f"/cb?code=hush{n}&a={n}"}, b"{}") for n in "12"]
    found = judged(*pair, headers=["set-cookie", "etag", "location"])
    assert set(found.found) == {"headers.set-cookie", "headers.etag", "headers.location"}
    assert found.found["headers.set-cookie"].baseline == "***"
    assert found.found["headers.location"].baseline == '"/cb?code=***&a=1"'
    assert found.found["headers.etag"].baseline == '"e1"'
    cookies = [each.headers["set-cookie"] for each in unpacked(found.answers)]
    assert ([each[:3] for each in cookies], cookies[0] == cookies[1]) == (["***"] * 2, False)
    assert not re.search(b"sid=|hush", zlib.decompress(found.answers))


@pytest.mark.parametrize(("line", "kept"), [
    ("GET /a;jsessionid=ABC", "GET /a;jsessionid=***"), ("GET /a?sig=S", "GET /a?sig=***"),
    ("GET /a?code=S&sid=S&jwt=S&pwd=S", "GET /a?code=***&sid=***&jwt=***&pwd=***"),
    ("GET /a?%74oken=S", "GET /a?%74oken=***"), ("GET /a?x[pass]=S", "GET /a?x[pass]=***"),
    ("GET /a?b=c=d&country_code=de&q", "GET /a?b=c=d&country_code=de&q"),
    ("GET /a?X-Amz-Signature=S&b=1#id_token=S", "GET /a?X-Amz-Signature=***&b=1#id_token=***"),
], ids=str)
def test_secret_parameters_are_masked_wherever_they_stand(line: str, kept: str) -> None:
    """In the query, in the path, written with escapes; others are told."""
    assert masked_line(line) == kept


def test_masking_a_line_takes_one_look_at_each_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users choose their queries; one with half a megabyte of `key` must not stop the service."""
    looked: list[str] = []
    true_way = masking._is_secret

    def counted(name: str) -> bool:
        looked.append(name)
        return true_way(name)

    monkeypatch.setattr(masking, "_is_secret", counted)
    assert masked_line("GET /?" + "key" * 200_000).endswith("keykey")
    assert masked_line("GET /?" + "key=1&" * 1_000).count("***") == 1_000
    assert len(looked) == 1_000


RESCORED = [
    ("masked place", {"mask": ["$.card"]}, (b'{"card":1}', b'{"card":2}'), True),
    ("integers beyond 64 bits", {"mask": ["$.card"]},
     (b'{"n":12345678901234567890123,"a":1}', b'{"n":12345678901234567890123,"a":2}'), True),
    ("text that is no JSON", {"mask": ["$.card"]}, (b"<p>1", b"<p>2"), False),
    ("tolerance at a masked place", {"mask": ["$.card"], "text": {"$.card": {"cer": 0.5}}},
     (b'{"card":"4111","a":1}', b'{"card":"4112","a":2}'), False),
]


@pytest.mark.parametrize(("plan", "bodies", "is_scorable"), [row[1:] for row in RESCORED],
                         ids=[row[0] for row in RESCORED])
def test_masking_never_makes_a_kept_pair_match(
    plan: dict[str, Any], bodies: tuple[bytes, bytes], is_scorable: bool
) -> None:
    """By the same rules it is judged as before; where too much is masked, not at all."""
    kind = "text/html" if bodies[0].startswith(b"<") else "application/json"
    one = judged(*(Answer(200, {"content-type": kind}, body) for body in bodies), **plan)
    again = judge_of(**plan).judge_again(1, one)
    assert opened(one.answers).is_scorable is (again is not None) is is_scorable
    if again:
        assert again.before.found.keys() == again.after.found.keys() == one.found.keys()
        assert (again.after.similarity, again.after.is_match) == (one.similarity, False)


def test_credential_that_differs_still_differs_when_scored_again() -> None:
    """Its value is gone, that it was another one is not."""
    pair = [Answer(200, {**JSON, "set-cookie": f"sid={n}"}, b"{}") for n in "12"]
    again = judge_of(headers=["set-cookie"]).judge_again(1, judged(*pair, headers=["set-cookie"]))
    assert again is not None
    assert set(again.after.found) == {"headers.set-cookie"}


def test_second_baseline_answer_is_kept_for_scoring_again() -> None:
    """So that noise is judged by the new rules, too."""
    one = judged(answer(b'{"t":1,"a":1}'), answer(b'{"t":2,"a":2}'), answer(b'{"t":3,"a":1}'))
    again = judge_of(ignore=["$.t"]).judge_again(1, one)
    assert again is not None
    assert (again.before.noisy, again.after.noisy) == ({"$.t"}, set())
    assert (set(again.after.found), again.after.ignored) == ({"$.a"}, {"$.t"})


def test_header_bytes_are_the_same_text_whichever_way_they_came() -> None:
    """The gateway replaces what is not UTF-8, the client of the copies escapes it."""
    way = [b"Gr\xfc".decode("utf-8", errors) for errors in ("replace", "surrogateescape")]
    pair = [answer_of(200, [("X-Name", value), *JSON.items()], b'{"a":%d}' % n, 0.1)
            for n, value in enumerate(way)]
    found = judged(*pair, headers=["x-name"])
    assert set(found.found) == {"$.a"}
    assert found.answers


def test_threshold_lets_nearly_equal_answers_match() -> None:
    """When the plan says so; an error never matches."""
    pair = answer(b'{"a":1,"b":2}'), answer(b'{"a":1,"b":3}')
    assert not judged(*pair).is_match
    assert judged(*pair, similarity=0.5).is_match
    assert not judged(pair[0], answer(error="timeout"), similarity=0).is_match


@pytest.mark.parametrize("by", [r"\1", r"\g<year>", "\\"])
def test_replacement_that_does_not_fit_its_pattern_is_refused(by: str) -> None:
    r"""In the plan, and not when the first answer comes: `\1` needs a group."""
    def spec(pattern: str) -> ComparisonSpec:
        return ComparisonSpec.model_validate(
            {"text": {"$.a": {"replace": [{"pattern": pattern, "by": by}]}}})

    with pytest.raises(ValueError, match="does not fit"):
        spec(r"\d+")
    if by != "\\":
        assert spec(r"(?P<year>\d+)")


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
    "application/x-ndjson", "application/json-seq", "text/csv", "multipart/mixed; boundary=a",
    "application/xhtml+xml; charset=utf-16", "application/json; charset=utf-7",
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
    (None, "timeout", {"error": 3}, "the candidate fails"),
    ("timeout", None, {"error": 3}, "the baseline fails"), ("a", "b", {"error": 3}, "both systems"),
], ids=str)
def test_advice_is_the_rule_that_would_let_it_pass(
    baseline: Any, candidate: Any, kinds: dict[str, int], words: str
) -> None:
    """Or that it is a regression."""
    assert words in advice("$.a", baseline, candidate, kinds)


@pytest.mark.parametrize("field", ["$.a", "$.items[*].a", "$['a: b\\'c']", "$[*]", "$['ä']",
                                   "/o/{urn:x}i/@id", "/o/*", "/html/body/p/text()"])
@pytest.mark.parametrize(("baseline", "candidate", "kind", "only_baseline"), [
    (1, 1.0, "type", 0), (10.0, 10.001, "changed", 0), ("Ana", "ANA", "changed", 0),
    ("a  b", "a b", "changed", 0), ("12:30", "12:31", "changed", 0), (None, None, "added", 0),
    ([1], [1], "order", 0), ("a", "b", "changed", 200),
], ids=str)
def test_advised_rule_stands_in_a_plan_as_it_is_written(
    field: str, baseline: Any, candidate: Any, kind: str, only_baseline: int
) -> None:
    """Copied under `comparison`, it is read, and it names the place."""
    told = advice(field, baseline, candidate, {kind: 3}, only_baseline)
    spec = ComparisonSpec.model_validate(yaml.safe_load(told.rpartition("; ")[2]))
    paths = [*spec.ignore, *spec.numeric, *spec.text, *spec.arrays,
             *(rule.path for rule in spec.rules)]
    assert paths == [field]


@pytest.mark.parametrize(("field", "only_baseline", "words"), [
    ("status", 0, "a regression"), ("status", 200, "noise: the baseline differs from itself too"),
    ("headers.date", 0, "leave date out of comparison.headers"),
    ("trailers.grpc-message", 3, "noise: the baseline differs from itself too; leave grpc-message "
                                 "out of comparison.trailers"),
    ("headers.date", 200, "noise: the baseline differs from itself too; leave date out of"),
    ("(further places)", 0, "counted as one"), ("$." + "a" * 498, 0, "too long for a rule"),
])
def test_advice_where_no_rule_can_help(field: str, only_baseline: int, words: str) -> None:
    """No pattern names a status or a header: nothing is advised that a plan would refuse."""
    told = advice(field, 500, 503, {"changed": 3}, only_baseline)
    assert words in told
    assert "{" not in told


def advice(
    field: str, baseline: Any, candidate: Any, kinds: dict[str, int], only_baseline: int = 0
) -> str:
    """Return what is suggested at a place that differs three times."""
    example = {side: None if "error" in kinds and value is None else show(value)
               for side, value in (("baseline", baseline), ("candidate", candidate))}
    place = Place(field, 3, 0, 3, only_baseline, 0, kinds, [example], NOW, NOW)
    (verdict,) = judge_places([PlaceCounts(field, 1000, 3, 1000, 3, only_baseline, 0)])
    return suggest(place, verdict)
