"""What a flag is for whom: the promises of the rules, for any flag and any user."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from changeover.domain.routing import BUCKETS, Mode, RoutingState, System, bucket, decide
from changeover.flags.evaluate import Evaluation, Evaluator, Failure, Reason
from changeover.flags.explain import explain
from changeover.flags.snapshot import (
    SYSTEM_FLAG,
    Snapshot,
    etag_of,
    expired,
    from_snapshot_document,
    is_behind,
    of_plan,
    to_document,
)
from changeover.plan.flags import MODE_NAMES, from_document
from changeover.plan.load import parse_plan
from changeover.plan.model import Plan
from changeover.plan.routing import KeyRule
from changeover.plan.units import format_percent
from tests.core.plan.test_load import GOOD
from tests.support.examples import MANY

keys = st.text(min_size=1, max_size=20).filter(lambda text: text.isprintable() and text.strip())
weights = st.integers(0, BUCKETS)
values = st.booleans() | st.integers(-9, 9) | st.text(string.ascii_letters, max_size=5)
contexts = st.dictionaries(
    st.sampled_from(["x-cohort", "country", "plan", "age", "groups"]),
    values | st.floats(allow_nan=False) | st.none() | st.lists(values, max_size=3)
    | st.dictionaries(st.text(max_size=3), values, max_size=2) | st.just("beta"),
    max_size=5,
)
MOMENT = datetime(2026, 11, 25, tzinfo=UTC)


@cache
def parsed(text: str) -> Plan:
    """Return a plan; the same one for the same text."""
    return parse_plan(text, "test")


def snapshot(flags: str, mode: Mode = Mode.BASELINE_ONLY, weight: int = 0, more: str = "",
             **state: Any) -> Snapshot:
    """Return the snapshot of a plan with these flags."""
    plan = parsed(f"{GOOD}flags:\n  {flags}\n{more}")
    return of_plan(plan, RoutingState("shop", mode=mode, weight=weight, **state))


def ask(found: Snapshot, key: str | None = "user-7", **context: Any) -> Evaluation:
    """Return the answer for the flag called f."""
    return Evaluator(found).evaluate("f", key, context)


def rollout(weight: int) -> Snapshot:
    """Return the snapshot of a flag that so many buckets get."""
    percent = format_percent(weight).removesuffix(" %")
    document = {"rules": [{"percent": percent, "variant": "enabled"}]}
    return replace(snapshot("f: true"), flags={"f": from_document(document)})


@given(keys, weights, weights)
@settings(max_examples=60)
def test_growing_percentage_never_moves_anyone_back(key: str, one: int, other: int) -> None:
    """Whoever has a variant keeps it while its percentage grows."""
    small, large = sorted((one, other))
    first, then = (ask(rollout(weight), key).value
                   for weight in (small, large))
    assert first <= then


@given(keys, weights)
@settings(max_examples=60)
def test_percentage_takes_the_buckets_of_the_gateway(key: str, weight: int) -> None:
    """25 % of a flag are the users whom 25 % of the gateway would move."""
    state = RoutingState("shop", mode=Mode.GRADUAL, weight=weight)
    found = ask(rollout(weight), key)
    assert found.value is (decide(state, key) is System.CANDIDATE)
    assert found.reason is Reason.SPLIT


@given(st.sampled_from(Mode), weights, keys | st.none(), contexts, st.booleans())
@MANY
def test_system_flag_is_what_decide_says(
    mode: Mode, weight: int, key: str | None, context: dict[str, Any], has_segment: bool
) -> None:
    """In every mode, for any user, the flag names the system that the gateway would."""
    state = RoutingState("shop", mode=mode, weight=weight,
                         segments=("beta",) if has_segment else ())
    plan = parsed(f"{GOOD}flags:\n  new: {{mirrors: system, variants: "
                  "{baseline: false, candidate: true}}\n")
    evaluator = Evaluator(of_plan(plan, state))
    inside = frozenset({"beta"} if context.get("x-cohort") == "beta" else ())
    wanted = decide(state, key, inside)
    assert evaluator.evaluate(SYSTEM_FLAG, key, context).value == wanted
    assert evaluator.value("new", None, key, context) is None  # asked for no boolean
    assert evaluator.value("new", False, key, context) is (wanted is System.CANDIDATE)


def test_salted_keys_are_hashed_as_the_gateway_does() -> None:
    """A plan with a salt shuffles flags as it shuffles users."""
    found = replace(rollout(5_000), rule=KeyRule("spring-26"))
    for number in range(50):
        assert ask(found, f"u{number}").value is (bucket(f"spring-26u{number}") < 5_000)


RULES = """f:
    variants: {a: 1, b: 2, c: 3}
    default: a
    rules:
      - {when: {country: [DE, AT]}, variant: b}
      - {segments: [beta, gold], percent: 50, variant: c}
  g: true
flag_segments: {gold: {plan: gold, age: {at_least: 18}}}
"""


@given(keys | st.none(), contexts)
@MANY
def test_safe_flags_win_whatever_else_is_set(key: str | None, context: dict[str, Any]) -> None:
    """In an emergency rollback nothing but the safe flags counts, for anyone."""
    more = "rollback: {safe_flags: {f: 1, g: false, unknown: false}}\n"
    found = snapshot(RULES, Mode.EMERGENCY_ROLLBACK, more=more)
    found = replace(found, flags={**found.flags, "f": from_document(
        {"variants": {"b": 2}, "default": "b", "in_modes": {"emergency_rollback": "b"}})})
    evaluator = Evaluator(found)
    assert [evaluator.evaluate(flag, key, context).value for flag in ("f", "g", "unknown")] == [
        1, False, False]
    assert evaluator.evaluate("f", key, context).metadata["lockedBy"] == "emergency_rollback"


@given(keys | st.none(), contexts)
@MANY
def test_any_context_gets_an_answer(key: str | None, context: dict[str, Any]) -> None:
    """Attributes of any type never raise, and the answer is one of the flag's variants."""
    found = Evaluator(snapshot(RULES)).evaluate("f", key, context)
    assert {"a": 1, "b": 2, "c": 3}[found.variant] == found.value
    assert found.failure is None


@given(keys | st.none(), contexts)
@settings(max_examples=100)
def test_snapshot_that_travelled_gives_the_same_answers(
    key: str | None, context: dict[str, Any]
) -> None:
    """What the console sends to applications answers there as it would here."""
    found = snapshot(RULES, Mode.GRADUAL, 3_000, segments=("beta",))
    there = from_snapshot_document(to_document(found))
    here, away = Evaluator(found), Evaluator(there)
    for flag in here.keys:
        one, other = here.evaluate(flag, key, context), away.evaluate(flag, key, context)
        assert (one.value, one.variant, one.reason, one.why, one.metadata) == (
            other.value, other.variant, other.reason, other.why, other.metadata)


@pytest.mark.parametrize(("context", "value", "reason"), [
    ({}, 1, Reason.DEFAULT),
    ({"country": "DE"}, 2, Reason.TARGETING_MATCH),
    ({"country": ["FR", "AT"]}, 2, Reason.TARGETING_MATCH),
    ({"country": "FR"}, 1, Reason.DEFAULT),
    ({"plan": "gold", "age": 18}, 3, Reason.SPLIT),
    ({"plan": "gold", "age": 17}, 1, Reason.DEFAULT),
    ({"plan": "gold", "age": "18"}, 1, Reason.DEFAULT),
    ({"x-cohort": "beta"}, 3, Reason.SPLIT),
    ({"x-cohort": "Beta"}, 1, Reason.DEFAULT),
    ({"X-Cohort": "beta"}, 3, Reason.SPLIT),
    ({"X-Cohort": "beta", "x-cohort": "public"}, 1, Reason.DEFAULT),
], ids=str)
def test_first_rule_that_fits_decides(context: dict[str, Any], value: int, reason: Reason) -> None:
    """Rules are read in order; attributes and segments are exact."""
    assert bucket("user-7") < 5_000
    found = ask(snapshot(RULES), **context)
    assert (found.value, found.reason) == (value, reason)


BY_KEY = (GOOD.replace("segments: {", "segments: {vip: {header: x-user-id, any_of: [user-1]}, ")
          + """flags:
  new: {mirrors: system, variants: {baseline: false, candidate: true}}
  by_segment: {rules: [{segments: [vip], variant: enabled}]}
  by_header: {rules: [{when: {x-user-id: user-1}, variant: enabled}]}
  by_prefix: {rules: [{when: {targetingKey: {ends_with: '-1'}}, variant: enabled}]}
  by_group: {rules: [{segments: [first], variant: enabled}]}
flag_segments: {first: {targetingKey: [user-1]}}
""")


@pytest.mark.parametrize(("key", "context", "wanted"), [
    ("user-1", {}, True),
    ("user-1", {"x-user-id": "user-2", "targetingKey": "user-2"}, True),
    ("user-2", {}, False),
    ("user-2", {"X-User-Id": "user-1", "targetingKey": "user-1"}, False),
    (None, {"X-User-Id": "user-1", "x-user-id": "user-1", "targetingKey": "user-1"}, False),
    ("", {}, False),
], ids=str)
def test_key_is_an_attribute_like_any_other(
    key: str | None, context: dict[str, Any], wanted: bool
) -> None:
    """Rules and segments may be about the key, by either name; there is one key only."""
    plan = parsed(BY_KEY)
    state = RoutingState("shop", mode=Mode.GRADUAL, segments=("vip",))
    evaluator = Evaluator(from_snapshot_document(to_document(of_plan(plan, state))))
    found = {flag: evaluator.evaluate(flag, key, context).value for flag in plan.flags}
    assert found == dict.fromkeys(plan.flags, wanted)
    assert plan.routing.segments_of(key or "") == ({"vip"} if wanted else set())
    assert explain(evaluator, key or "", context)["segments"] == (["vip"] if wanted else [])


odd_texts = st.text("\ud800\udcff\udfff\0 \tab", max_size=6) | st.text(max_size=6)
odd_keys: st.SearchStrategy[Any] = (
    st.none() | odd_texts | st.binary(max_size=6) | st.lists(odd_texts | st.binary(max_size=3)))


@given(key=odd_keys, weight=weights, salt=st.sampled_from(["", "s"]))
@MANY
def test_any_key_gets_the_gateways_answer_or_the_default(
    key: Any, weight: int, salt: str
) -> None:
    """Bytes that are not UTF-8 and several values are hashed as they are; nothing raises."""
    state = RoutingState("shop", Mode.GRADUAL, weight)
    evaluator = Evaluator(replace(rollout(weight), state=state, rule=KeyRule(salt)))
    found = evaluator.evaluate("changeover.system", key)
    if found.failure is not None:
        assert (found.failure, found.reason) == (Failure.INVALID_CONTEXT, Reason.ERROR)
        assert evaluator.value("changeover.system", "mine", key) == "mine"
        assert evaluator.value("f", True, key) is True
    else:
        assert found.value == decide(state, key, rule=KeyRule(salt))
        assert evaluator.value("f", False, key) is (found.value == "candidate")


@pytest.mark.parametrize(
    "key", [7, 7.5, True, {"a": 1}, [7], object()], ids=lambda key: type(key).__name__)
def test_a_key_of_another_type_gives_the_default(key: Any) -> None:
    """An application's fault costs it its flag, not its user's request."""
    evaluator = Evaluator(rollout(5_000))
    assert evaluator.value("f", "mine", key) == "mine"
    assert evaluator.evaluate("f", key).failure is Failure.INVALID_CONTEXT


@pytest.mark.parametrize(("value", "fits"), [
    ("beta", True), (" beta\t", True), (["gamma", "beta"], True), (("beta", ""), True),
    (b"beta", True), ([b"\xff", b"beta"], True), ("beta,gamma", False), ("Beta", False),
    ([], False), (["gamma"], False), ("\udcff", False), ([7, None], False), ({"beta": 1}, False),
], ids=str)
def test_a_segments_header_may_come_more_than_once(value: Any, fits: bool) -> None:
    """As in the gateway one of its values is enough, whole and without the blanks around it."""
    state = RoutingState("shop", Mode.GRADUAL, segments=("beta",))
    evaluator = Evaluator(replace(snapshot("f: true"), state=state))
    found = evaluator.evaluate("changeover.system", "u", {"x-cohort": value})
    assert found.value == ("candidate" if fits else "baseline")


def test_names_that_are_no_text_fit_nothing_and_harm_nothing() -> None:
    """An application may put anything into its context."""
    for context in ({7: "beta", None: "beta", ("x",) * 8: "beta"}, {1: 2, "X-Cohort": "beta"}):
        found = Evaluator(snapshot(RULES)).evaluate("f", "user-7", context)  # type: ignore[arg-type]
        assert found.value == (3 if "X-Cohort" in context else 1)


def test_loser_of_a_draw_has_the_default_by_that_draw() -> None:
    """Who was in the lottery and lost is not told that no rule was for them."""
    assert bucket("user-1") >= 5_000
    assert ask(snapshot(RULES), "user-1", **{"x-cohort": "beta"}).reason is Reason.SPLIT


@pytest.mark.parametrize("key", [None, ""])
def test_request_without_a_key_takes_no_part_in_a_draw(key: str | None) -> None:
    """As in the gateway: no key, no lottery."""
    found = ask(rollout(10_000), key)
    assert (found.value, found.reason) == (False, Reason.DEFAULT)


@pytest.mark.parametrize(("condition", "fitting", "others"), [
    ("{any_of: [1, x]}", [1, 1.0, "x"], [True, "1", None, {}]),
    ("{none_of: [x]}", ["y", 1, None], ["x", ["x"]]),
    ("{starts_with: ab}", ["abc"], ["xab", 1, ["ab"]]),
    ("{ends_with: '@a.de'}", ["x@a.de"], ["x@b.de"]),
    ("{contains: b}", ["abc", ["a", "b"]], ["ac", ["ab"], 1]),
    ("{at_least: 3}", [3, 3.5, 10**400], [2, True, "3", -(10**400)]),
    ("{at_most: 3}", [3, -(10**400)], [3.1]),
    ("{above: 3, below: 5}", [4], [3, 5]),
    ("{present: true}", ["", 0, False], [None]),
    ("{present: false}", [None], ["x"]),
    ("true", [True, [True]], [1, "true"]),
])
def test_conditions_on_attributes(condition: str, fitting: list[Any], others: list[Any]) -> None:
    """Each condition fits what it says, and never a value of another type."""
    found = snapshot(f"f: {{rules: [{{when: {{a: {condition}}}, variant: enabled}}]}}")
    for value in fitting:
        assert ask(found, a=value).value is True, value
    for value in others:
        assert ask(found, a=value).value is False, value
    assert ask(found).value is (None in fitting)


@pytest.mark.parametrize("mode", list(Mode))
def test_mirrors_show_the_migration(mode: Mode) -> None:
    """Names of other projects for modes and shares are flags that nobody has to keep in step."""
    found = snapshot("f: {mirrors: mode, variants: {gradual: true, other: false}, default: other}\n"
                     "  mode: {mirrors: mode}\n  share: {mirrors: percent}\n"
                     "  closed: {mirrors: maintenance}", mode, 1_250, maintenance=True)
    evaluator = Evaluator(found)
    assert evaluator.value("f", None, "u") is None
    # who returns in steps is split as in `gradual`, for plans that name no variant for it
    assert evaluator.value("f", False, "u") is (mode in (Mode.GRADUAL, Mode.RETURNING))
    assert evaluator.value("mode", "", "u") == mode
    assert evaluator.value("share", 0, "u") == 12.5
    assert evaluator.value("closed", False, "u") is True


def test_mode_locks_a_flag() -> None:
    """What a mode prescribes holds in that mode only."""
    flag = "f: {default: enabled, in_modes: {shadow: disabled}}"
    assert ask(snapshot(flag, Mode.SHADOW)).value is False
    assert ask(snapshot(flag, Mode.GRADUAL)).value is True


def test_plan_and_routing_know_the_same_modes() -> None:
    """A mode that exists can be named in a plan."""
    assert set(MODE_NAMES) == set(Mode)


@pytest.mark.parametrize(("mine", "other", "behind"), [
    (("p1", 3, 5), ("p1", 3, 5), False), (("p1", 3, 5), ("p1", 4, 5), True),
    (("p1", 3, 5), ("p1", 3, 6), True), (("p1", 4, 5), ("p1", 3, 5), False),
    (("p1", 4, 6), ("p2", 3, 6), False), (("p1", 3, 5), ("p2", 3, 5), True),
], ids=str)
def test_etags_say_who_is_behind(
    mine: tuple[str, int, int], other: tuple[str, int, int], behind: bool
) -> None:
    """Who has seen a later change than another waits for nothing that the other has."""
    tags = [etag_of(plan, "an-environment", *numbers) for plan, *numbers in (mine, other)]
    assert is_behind(*tags) is behind
    for foreign in ("", "from-elsewhere", "x" * 50, "1-2", "a-b-c"):
        assert not is_behind(tags[0], foreign)


def test_unknown_flag_is_an_error_of_its_own() -> None:
    """Nobody gets a made-up value for a name that is wrong."""
    found = Evaluator(snapshot("f: true")).evaluate("g", "user-7")
    assert (found.value, found.reason, found.failure) == (
        None, Reason.ERROR, Failure.FLAG_NOT_FOUND)


def test_expired_flag_still_answers_and_is_noted() -> None:
    """An expiry date removes nothing; it says that somebody should."""
    found = snapshot("f: {default: enabled, expires: 2026-11-25, owner: ana}")
    assert Evaluator(found).evaluate("f", "user-7").value is True
    assert expired(found.flags, date(2026, 11, 24)) == []
    (text,) = expired(found.flags, date(2026, 11, 25))
    assert text == ("flag f expired on 2026-11-25: remove it from the code and from the plan, or "
                    "give it another day (ana)")


@pytest.mark.parametrize(("default", "value"), [
    (0, 2), (0.0, 2), (False, False), ("", ""), ({}, {})], ids=str)
def test_value_falls_back_to_the_default_of_another_type(default: Any, value: Any) -> None:
    """The direct call never gives an application a type that it did not ask for."""
    assert Evaluator(snapshot("f: 2")).value("f", default, "user-7") == value
