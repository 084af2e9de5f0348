"""Routing rules: which mode may follow which, and who is moved when the percentage grows."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.routing import (
    BUCKETS,
    TRANSITIONS,
    Change,
    Key,
    Mode,
    RoutingState,
    System,
    apply,
    bucket,
    decide,
    explain,
    values_of,
)
from changeover.errors import InvalidInput, StaleEpoch, TransitionRefused
from changeover.plan.routing import KeyRule

keys = st.text(min_size=1, max_size=40)
weights = st.integers(0, BUCKETS)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(Mode, Mode)))
def test_apply_follows_the_table_of_transitions(before: Mode, after: Mode) -> None:
    """Every pair of modes is allowed or refused exactly as the table says."""
    state = RoutingState("m", mode=before)
    change = Change(mode=after, weight=100, is_by_person=True)
    if after in TRANSITIONS[before] or before is after:
        assert apply(state, change).mode is after
    else:
        with pytest.raises(TransitionRefused, match="because"):
            apply(state, change)


def test_apply_lets_only_a_person_end_a_rollback() -> None:
    """No flow leads out of an emergency rollback."""
    state = RoutingState("m", mode=Mode.EMERGENCY_ROLLBACK)
    with pytest.raises(TransitionRefused, match="only a person"):
        apply(state, Change(mode=Mode.BASELINE_ONLY))


@given(weight=weights, epoch=st.integers(0, 9), version=st.integers(0, 99))
def test_rollback_takes_everything_from_the_candidate(
    weight: int, epoch: int, version: int
) -> None:
    """A rollback leaves no share, no segment, no shadow, and raises epoch and version."""
    state = RoutingState(
        "m", Mode.GRADUAL, weight, ("beta",), shadow_sample=5, version=version, epoch=epoch
    )
    after = apply(state, Change(mode=Mode.EMERGENCY_ROLLBACK))
    assert (after.weight, after.segments, after.shadow_sample) == (0, (), 0)
    assert (after.epoch, after.version) == (epoch + 1, version + 1)
    assert after.order > state.order


def test_rollback_twice_changes_nothing() -> None:
    """A second rollback finds the first one done."""
    once = apply(RoutingState("m", Mode.GRADUAL), Change(mode=Mode.EMERGENCY_ROLLBACK))
    assert apply(once, Change(mode=Mode.EMERGENCY_ROLLBACK)) is once


@given(mode=st.sampled_from(list(Mode)), own=st.tuples(st.integers(0, 5), st.integers(0, 50)),
       served=st.none() | st.tuples(st.integers(0, 5), st.integers(0, 50)))
def test_a_rollback_is_later_than_whatever_is_served(
    mode: Mode, own: tuple[int, int], served: tuple[int, int] | None
) -> None:
    """Also than what a store that was restored knows nothing of; else it counts on as ever."""
    state = RoutingState("m", mode, epoch=own[0], version=own[1])
    after = apply(state, Change(mode=Mode.EMERGENCY_ROLLBACK, above=served))
    if served is not None and served > own:
        assert after.order == (served[0] + 1, max(own[1], served[1]) + 1)
    else:
        assert after == apply(state, Change(mode=Mode.EMERGENCY_ROLLBACK))


def test_apply_refuses_a_stale_epoch() -> None:
    """What was decided before a rollback may change nothing after it."""
    with pytest.raises(StaleEpoch, match="a rollback came first"):
        apply(RoutingState("m", epoch=2), Change(mode=Mode.SHADOW, expected_epoch=1))


@pytest.mark.parametrize("weight", [-1, BUCKETS + 1])
def test_apply_refuses_an_impossible_weight(weight: int) -> None:
    """A share lies between nobody and everybody."""
    with pytest.raises(InvalidInput):
        apply(RoutingState("m", Mode.GRADUAL), Change(weight=weight))


@given(key=keys, small=weights, large=weights)
def test_growing_the_percentage_never_moves_a_user_back(key: str, small: int, large: int) -> None:
    """Who is on the candidate stays there while the percentage grows."""
    small, large = sorted((small, large))
    before = decide(RoutingState("m", Mode.GRADUAL, small), key)
    after = decide(RoutingState("m", Mode.GRADUAL, large), key)
    assert before is System.BASELINE or after is System.CANDIDATE


@given(key=keys, mode=st.sampled_from(list(Mode)))
def test_decide_sends_everyone_one_way_outside_gradual(key: str, mode: Mode) -> None:
    """Only the gradual mode, forwards and backwards, divides users."""
    if mode in (Mode.GRADUAL, Mode.RETURNING):
        return
    wanted = System.CANDIDATE if mode is Mode.CANDIDATE_ONLY else System.BASELINE
    assert decide(RoutingState("m", mode, 5000), key, frozenset({"beta"})) is wanted


def test_decide_sends_requests_without_key_to_the_baseline() -> None:
    """Nobody is moved by chance."""
    state = RoutingState("m", Mode.GRADUAL, BUCKETS - 1)
    assert decide(state, None) is System.BASELINE
    assert decide(state, "") is System.BASELINE


def test_decide_sends_segments_to_the_candidate() -> None:
    """A named segment goes first, whatever the bucket."""
    state = RoutingState("m", Mode.GRADUAL, 0, ("beta",))
    assert decide(state, "anyone", frozenset({"beta"})) is System.CANDIDATE


@given(weight=st.integers(0, BUCKETS), key=st.text(max_size=5), is_moved=st.booleans())
def test_segment_that_was_rolled_back_stays_at_the_baseline(
    weight: int, key: str, is_moved: bool
) -> None:
    """Whatever the user's bucket is, and also when a stage moves the segment."""
    state = RoutingState(
        "m", Mode.GRADUAL, weight, ("beta",) if is_moved else (), kept=("beta",))
    assert decide(state, key, frozenset({"beta"})) is System.BASELINE
    others = replace(state, kept=())
    assert decide(state, key) is decide(others, key)


def test_segment_is_kept_until_a_stage_gives_it_its_share_again() -> None:
    """A percentage set by hand leaves it where it is; every other mode forgets it."""
    state = RoutingState("m", Mode.GRADUAL, 100, kept=("beta",))
    assert apply(state, Change(weight=200)).kept == ("beta",)
    assert apply(state, Change(mode=Mode.GRADUAL, kept=())).kept == ()
    assert apply(state, Change(mode=Mode.EMERGENCY_ROLLBACK)).kept == ()
    assert state.describe() == "gradual 1 % without beta (version 0, epoch 0)"


def test_bucket_is_the_documented_hash() -> None:
    """Other languages can compute the bucket: xxh64, seed 0, modulo 10,000."""
    assert bucket("a") == 0xD24EC4F1A98C6E5B % 10_000


@pytest.mark.parametrize(("key", "values"), [
    (["v2", "u2"], [b"u2", b"v2"]), (("u1", "u1"), [b"u1", b"u1"]),
    (["\udcff", b"a", "Zoë"], [b"Zo\xc3\xab", b"a", b"\xff"]), (["u"], [b"u"]),
], ids=str)
def test_several_values_are_hashed_as_envoy_does(key: Key, values: list[bytes]) -> None:
    """Sorted by their bytes, one after the other, each with the hash before it as the seed."""
    number = 0
    for value in values:
        number = xxhash.xxh64_intdigest(value, seed=number)
    assert bucket(key) == number % 10_000


@given(st.binary(min_size=1, max_size=20))
def test_a_keys_bytes_count_however_they_are_written(data: bytes) -> None:
    """Python's way to write bytes that are not UTF-8 means these bytes (PEP 383)."""
    assert bucket(data.decode("utf-8", "surrogateescape")) == bucket(data)


@pytest.mark.parametrize("salt", ["", "s"])
@pytest.mark.parametrize("key", [" u2\t", b"\t u2 ", "\tu2"], ids=repr)
def test_blanks_around_a_key_are_none_of_it(key: Key, salt: str) -> None:
    """HTTP takes them away before anybody hashes them; other blanks stay."""
    assert bucket(key, salt=salt) == bucket("u2", salt=salt)
    assert bucket("u 2") != bucket("u2") != bucket("\xa0u2")


@pytest.mark.parametrize("key", [None, "", " \t ", b"", [], ["u1", ""], ["", ""], ("", "u1")],
                         ids=repr)
def test_one_empty_value_makes_a_key_none(key: Key | None) -> None:
    """As in the gateway: such a request is the baseline's, in every share."""
    found = explain(RoutingState("m", Mode.GRADUAL, BUCKETS), key, rule=KeyRule("s"))
    assert (found.system, found.bucket) == (System.BASELINE, None)


def test_with_a_salt_the_first_value_counts() -> None:
    """The gateway writes the salt and the first value into the header that it hashes."""
    assert bucket(["b", "a"], salt="s") == bucket("b", salt="s") == bucket("sb")


@given(st.text(st.characters(), max_size=20) | st.text("\ud800\udcff\udfffa", max_size=5),
       st.sampled_from(Mode), st.sampled_from(["", "s"]))
def test_no_key_is_an_exception(key: str, mode: Mode, salt: str) -> None:
    """A key that no request can carry is told; its user stays where one without a key is."""
    state = RoutingState("m", mode, BUCKETS)
    found = explain(state, key, rule=KeyRule(salt))
    assert found.system is decide(state, key, rule=KeyRule(salt))
    if mode is Mode.GRADUAL and found.bucket is None:
        assert found.system is System.BASELINE
        assert found.because.startswith(("a request without a key", "a key that no request"))


@given(key=keys, weight=weights, mode=st.sampled_from(list(Mode)), is_beta=st.booleans(),
       salt=st.sampled_from(["", "x"]))
def test_explain_says_what_decide_does(
    key: str, weight: int, mode: Mode, is_beta: bool, salt: str
) -> None:
    """The words and the system never disagree, with a salt and without."""
    state = RoutingState("m", mode, weight, ("beta",))
    segments = frozenset({"beta"} if is_beta else ())
    found = explain(state, key, segments, rule=KeyRule(salt))
    assert found.system is decide(state, key, segments, rule=KeyRule(salt))
    assert found.bucket == (bucket(key, salt=salt) if values_of(key) else None)
    if mode is Mode.GRADUAL and not is_beta:
        is_below = f"bucket {found.bucket} is below {weight}" in found.because
        assert is_below == (found.system is System.CANDIDATE)


@pytest.mark.parametrize(("state", "key", "segments", "because"), [
    (RoutingState("m", Mode.PARALLEL), "a", (), "the mode is parallel"),
    (RoutingState("m", Mode.GRADUAL, 2500, ("beta",)), "a", ("beta",),
     "segment beta has moved (gradual 25 %)"),
    (RoutingState("m", Mode.GRADUAL, 2500, kept=("beta",)), "a", ("beta",),
     "segment beta was rolled back (gradual 25 %)"),
    (RoutingState("m", Mode.GRADUAL, 2500), None, (),
     "a request without a key stays at the baseline (gradual 25 %)"),
], ids=["mode", "segment", "rolled back", "no key"])
def test_explain_names_the_reason(
    state: RoutingState, key: str | None, segments: tuple[str, ...], because: str
) -> None:
    """One sentence that a person can check."""
    assert explain(state, key, frozenset(segments)).because == because


@pytest.mark.parametrize(("mode", "copied"), [
    (Mode.BASELINE_ONLY, 0), (Mode.SHADOW, 3_000), (Mode.PARALLEL, 3_000), (Mode.GRADUAL, 3_000),
    (Mode.CANDIDATE_ONLY, 0), (Mode.EMERGENCY_ROLLBACK, 0),
])
def test_requests_are_copied_only_while_the_baseline_answers_users(mode: Mode, copied: int) -> None:
    """What people are told is what the gateway does; nothing is copied during maintenance."""
    assert RoutingState("m", mode=mode, shadow_sample=3_000).copied == copied
    assert RoutingState("m", mode=mode, shadow_sample=3_000, maintenance=True).copied == 0
