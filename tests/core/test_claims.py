"""Claims: who may act on an item, when it passes to another, and what is final."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.domain import claims
from changeover.domain.claims import Claim, NewClaim, Refusal, Status, Why
from changeover.domain.routing import Mode, RoutingState, System, explain

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
LEASE = timedelta(seconds=60)
BASELINE, CANDIDATE = System.BASELINE, System.CANDIDATE


def wish(
    system: System, state: RoutingState, holder: str = "worker-1", item: str = "a"
) -> NewClaim:
    return NewClaim(item, system, holder, LEASE)


def ask(
    system: System, state: RoutingState, present: Claim | None = None, *, holder: str = "worker-1",
    now: datetime = NOW,
) -> Claim | Refusal:
    return claims.claim(wish(system, state, holder), present, state, now)


def held(system: System = BASELINE, token: int = 1) -> Claim:
    return Claim("a", Status.HELD, str(system), "worker-1", token, NOW, NOW + LEASE)


def why(found: Claim | Refusal) -> Why:
    assert isinstance(found, Refusal), found
    return found.why


ALL = {mode: RoutingState("m", mode, 10_000 if mode is Mode.CANDIDATE_ONLY else 0) for mode in Mode}


@pytest.mark.parametrize(("mode", "entitled"), [
    (Mode.BASELINE_ONLY, BASELINE), (Mode.SHADOW, BASELINE), (Mode.PARALLEL, BASELINE),
    (Mode.GRADUAL, BASELINE), (Mode.CANDIDATE_ONLY, CANDIDATE), (Mode.EMERGENCY_ROLLBACK, BASELINE),
])
def test_claim_follows_the_mode(mode: Mode, entitled: System) -> None:
    """In every mode exactly the system whose answer users get may act."""
    for system in System:
        found = ask(system, ALL[mode])
        if system is entitled:
            assert isinstance(found, Claim)
            assert found.token == 1
        else:
            assert why(found) is Why.NOT_ENTITLED


@given(weight=st.integers(0, 10_000), item=st.text(min_size=1, max_size=20))
def test_claim_in_gradual_follows_the_bucket(weight: int, item: str) -> None:
    """Every item belongs to exactly one system: the one that users with its key get."""
    state = RoutingState("m", Mode.GRADUAL, weight)
    granted = [system for system in System if isinstance(
        claims.claim(wish(system, state, item=item), None, state, NOW), Claim)]
    assert granted == [explain(state, item).system]


def test_claim_is_refused_while_another_holds_it() -> None:
    """One holder at a time; the refusal names it."""
    found = ask(BASELINE, ALL[Mode.SHADOW], held(), holder="worker-2")
    assert why(found) is Why.HELD
    assert "worker-1" in found.reason


def test_claim_again_by_its_holder_is_the_same_claim() -> None:
    """A lost answer is asked for again: same token, new lease."""
    later = NOW + timedelta(seconds=30)
    found = ask(BASELINE, ALL[Mode.SHADOW], held(token=7), now=later)
    assert found == replace(held(token=7), expires_at=later + LEASE)


@pytest.mark.parametrize("holder", ["worker-1", "worker-2"])
def test_claim_after_the_lease_has_a_higher_token(holder: str) -> None:
    """Whoever comes after a dead holder is told apart from it, also under the same name."""
    found = ask(BASELINE, ALL[Mode.SHADOW], held(token=7), holder=holder, now=NOW + LEASE)
    assert isinstance(found, Claim)
    assert found.token == 8


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("system", list(System))
def test_done_is_final(mode: Mode, system: System) -> None:
    """Nobody ever claims again what is done, in no mode."""
    done = replace(held(), status=Status.DONE)
    assert why(ask(system, ALL[mode], done, now=NOW + timedelta(days=400))) is Why.DONE


def test_maintenance_gives_no_new_claims_but_lets_holders_finish() -> None:
    """Work stops at the next item, not in the middle of one."""
    state = replace(ALL[Mode.SHADOW], maintenance=True, maintenance_reason="moving")
    assert why(ask(BASELINE, state)) is Why.MAINTENANCE
    assert isinstance(claims.renew(held(), 1, LEASE, state=state, now=NOW), Claim)
    assert isinstance(claims.complete(held(), 1), Claim)


def test_rollback_does_not_renew_the_candidates_leases() -> None:
    """The baseline gets what the candidate does not finish within its lease."""
    state = ALL[Mode.EMERGENCY_ROLLBACK]
    assert why(claims.renew(held(CANDIDATE), 1, LEASE, state=state, now=NOW)) is Why.NOT_ENTITLED
    assert why(ask(CANDIDATE, state, held(CANDIDATE))) is Why.NOT_ENTITLED
    assert isinstance(claims.complete(held(CANDIDATE), 1), Claim)
    taken = ask(BASELINE, state, held(CANDIDATE), holder="old", now=NOW + LEASE)
    assert isinstance(taken, Claim)


@pytest.mark.parametrize("act", ["renew", "complete", "release", "hand_over", "fail"])
def test_old_tokens_change_nothing(act: str) -> None:
    """A holder that was away too long finds that another one came."""
    state, present = ALL[Mode.GRADUAL], held(token=2)
    found = {
        "renew": lambda: claims.renew(present, 1, LEASE, state=state, now=NOW),
        "complete": lambda: claims.complete(present, 1),
        "release": lambda: claims.release(present, 1, NOW),
        "hand_over": lambda: claims.hand_over(
            present, 1, BASELINE, reason="x", state=state, now=NOW),
        "fail": lambda: claims.fail(present, 1, "x", state=state, now=NOW),
    }[act]()
    assert why(found) is Why.STALE


def test_completing_again_changes_nothing() -> None:
    """A lost answer to the completion is asked for again."""
    done = claims.complete(held(), 1)
    assert isinstance(done, Claim)
    assert claims.complete(done, 1) == done


def test_failed_by_the_candidate_is_the_baselines() -> None:
    """In candidate_only the baseline may claim what was handed to it, and nothing else."""
    state = ALL[Mode.CANDIDATE_ONLY]
    failed = claims.fail(held(CANDIDATE), 1, "model crashed", state=state, now=NOW)
    assert isinstance(failed, Claim)
    assert (failed.status, failed.given_to) == (Status.FREE, "baseline")
    refused = ask(CANDIDATE, state, failed)
    assert why(refused) is Why.NOT_ENTITLED
    assert "model crashed" in refused.reason
    taken = ask(BASELINE, state, failed)
    assert isinstance(taken, Claim)
    assert taken.token == 2
    assert why(ask(BASELINE, state)) is Why.NOT_ENTITLED


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("is_wanted", [True, False])
def test_failure_trips_the_rollback_only_in_candidate_only_and_if_planned(
    mode: Mode, is_wanted: bool
) -> None:
    """The plan decides, and only where no baseline answers anyway."""
    failed = claims.fail(held(CANDIDATE), 1, "x", state=ALL[mode], now=NOW)
    assert isinstance(failed, Claim)
    trips = claims.trips_rollback(failed, ALL[mode], is_wanted=is_wanted)
    assert trips == (is_wanted and mode is Mode.CANDIDATE_ONLY)
    after = replace(ALL[mode], epoch=3)
    assert not claims.trips_rollback(failed, after, is_wanted=True)


@pytest.mark.parametrize("mode", list(Mode))
def test_hand_over_to_the_candidate_needs_users_there(mode: Mode) -> None:
    """What users do not get from the candidate it may not act on either."""
    found = claims.hand_over(held(), 1, CANDIDATE, reason="x", state=ALL[mode], now=NOW)
    assert isinstance(found, Claim) == (mode in (Mode.GRADUAL, Mode.CANDIDATE_ONLY))
    assert isinstance(claims.hand_over(
        held(CANDIDATE), 1, BASELINE, reason="x", state=ALL[mode], now=NOW), Claim)


@pytest.mark.parametrize("mode", list(Mode))
def test_what_was_handed_to_the_candidate_is_its_only_while_users_are(mode: Mode) -> None:
    """After a rollback the baseline may act on it at once, and the candidate may not."""
    given = claims.hand_over(
        held(), 1, CANDIDATE, reason="try it", state=ALL[Mode.GRADUAL], now=NOW)
    assert isinstance(given, Claim)
    entitled, other = (
        (CANDIDATE, BASELINE) if mode in (Mode.GRADUAL, Mode.CANDIDATE_ONLY)
        else (BASELINE, CANDIDATE))
    taken = ask(entitled, ALL[mode], given)
    assert isinstance(taken, Claim)
    assert taken.given_to == ("candidate" if entitled is CANDIDATE else "")
    assert why(ask(other, ALL[mode], given)) is Why.NOT_ENTITLED


def test_what_was_given_back_cannot_fail() -> None:
    """Who let an item go has no say in it: no hand-over, and no rollback of everyone."""
    state = ALL[Mode.CANDIDATE_ONLY]
    released = claims.release(held(CANDIDATE), 1, NOW)
    given = claims.hand_over(held(CANDIDATE), 1, BASELINE, reason="x", state=state, now=NOW)
    for freed in (released, given):
        assert isinstance(freed, Claim)
        assert why(claims.fail(freed, 1, "late", state=state, now=NOW)) is Why.STALE


def test_failing_again_changes_nothing() -> None:
    """A lost answer to the failure is asked for again: the first reason stands."""
    state = ALL[Mode.CANDIDATE_ONLY]
    failed = claims.fail(held(CANDIDATE), 1, "first", state=state, now=NOW)
    assert isinstance(failed, Claim)
    assert claims.fail(failed, 1, "second", state=state, now=NOW + LEASE) == failed


def test_released_items_are_free_at_once() -> None:
    """Nobody waits for the rest of a lease that its holder gave back."""
    freed = claims.release(held(), 1, NOW)
    assert isinstance(freed, Claim)
    assert isinstance(ask(BASELINE, ALL[Mode.SHADOW], freed, holder="worker-2"), Claim)


STEPS = st.lists(st.tuples(
    st.sampled_from(["claim", "renew", "complete", "release", "fail", "hand_over"]),
    st.sampled_from(list(System)), st.sampled_from(["w1", "w2"]), st.integers(0, 3),
    st.sampled_from(list(Mode)), st.integers(0, 90),
), max_size=30)


def carried_out(
    act: str, present: Claim | None, system: System, holder: str, token: int, *,
    state: RoutingState, now: datetime,
) -> Claim | Refusal:
    return {
        "claim": lambda: ask(system, state, present, holder=holder, now=now),
        "renew": lambda: claims.renew(present, token, LEASE, state=state, now=now),
        "complete": lambda: claims.complete(present, token),
        "release": lambda: claims.release(present, token, now),
        "fail": lambda: claims.fail(present, token, "x", state=state, now=now),
        "hand_over": lambda: claims.hand_over(
            present, token, system, reason="x", state=state, now=now),
    }[act]()


@given(STEPS)
def test_whatever_happens_tokens_grow_and_done_stays(steps: list) -> None:
    """No order of events gives an item to two at once, lowers a token or undoes a completion."""
    present: Claim | None = None
    now = NOW
    for act, system, holder, back, mode, seconds in steps:
        now += timedelta(seconds=seconds)
        state, token = ALL[mode], (present.token - back if present else 1)
        found = carried_out(act, present, system, holder, token, state=state, now=now)
        if isinstance(found, Refusal):
            continue
        if present is not None:
            assert found.token >= present.token
            assert present.status is not Status.DONE or found == present
            is_other = (found.holder, found.system) != (present.holder, present.system)
            assert not (is_other and present.is_running(now))
            assert found.token == present.token + 1 or not is_other
        present = found
