"""The triggers of a plan over the recent samples."""

from __future__ import annotations

from dataclasses import replace

from changeover.analysis.window import GATEWAY, SHADOW, Measurements, Sample
from changeover.domain.comparisons import PlaceCount
from changeover.domain.routing import Mode, RoutingState
from changeover.observer.watch import Watch
from changeover.plan.model import Plan


def plan(**trigger: object) -> Plan:
    """Return a plan with one trigger, by default on errors that last three seconds."""
    system = {"name": "x", "url": "http://127.0.0.1:1"}
    return Plan.model_validate({
        "migration": "watched",
        "systems": {"baseline": system, "candidate": system},
        "routing": {"segments": {"beta": {"header": "x-cohort", "any_of": ["beta"]}}},
        "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
        "triggers": [{
            "name": "errors", "metric": "error_rate", "above": "5%", "for": "3s", "over": "2s",
            "action": "rollback", **trigger,
        }],
    })


def failing(at: int) -> Sample:
    """Return a second in which half of the candidate's requests failed."""
    return Sample("candidate", at, requests=20, errors={"timeout": 10})


def steps(watch: Watch, seconds: range) -> list[int]:
    """Feed failing seconds and return those in which a trigger fired."""
    fired = []
    for at in seconds:
        watch.feed([failing(at)])
        fired += [firing.at for _, firing in watch.step(at)]
    return fired


def test_watch_fires_in_the_second_that_completes_the_hold() -> None:
    """Three seconds after the first true look, the trigger fires, once."""
    assert steps(Watch(plan()), range(100, 110)) == [103]


def test_watch_looks_at_nothing_before_a_new_start() -> None:
    """What failed before users came to the candidate is no evidence."""
    watch = Watch(plan())
    steps(watch, range(100, 103))
    watch.restart(since=103)
    assert watch.step(103) == []
    assert steps(watch, range(104, 112)) == [107]


def test_watch_steps_through_stored_samples_after_a_restart() -> None:
    """A hold that began before the observer was killed completes at the same second."""
    watch = Watch(plan())
    watch.feed(failing(at) for at in range(100, 104))
    fired = [firing.at for at in range(100, 104) for _, firing in watch.step(at)]
    assert fired == [103]


def test_watch_remembers_window_and_duration() -> None:
    """Enough samples are kept to see, after a restart, a hold of the longest trigger."""
    watch = Watch(plan(**{"for": "5m", "over": "1m"}))
    assert watch.memory_seconds >= 360
    assert watch.replay_seconds >= 300


def test_watch_bounds_the_work_of_a_restart() -> None:
    """Very long windows are replayed for a shorter time rather than for minutes of work."""
    watch = Watch(plan(**{"for": "1h", "over": "1h"}))
    assert watch.replay_seconds * 3600 <= 300_000
    assert watch.memory_seconds >= 3600


def test_watch_judges_comparisons_for_the_candidate() -> None:
    """What the shadow service sampled counts in triggers, too."""
    watch = Watch(plan(metric="match_rate", above=None, below="90%"))
    fired = []
    for at in range(100, 110):
        watch.feed([Sample(SHADOW, at, compared=20, matched=10, similarity=15.0)])
        fired += [firing.reason for _, firing in watch.step(at)]
    assert len(fired) == 1
    assert "match_rate of candidate 50.000 %" in fired[0]


def test_watch_follows_one_place_of_the_answers() -> None:
    """A trigger with a path counts divergences at that place, in the ten seconds they came in."""
    watch = Watch(plan(
        metric="divergence_rate", path="$.total", above="10%", **{"for": "0s"}, over="10s"
    ))
    watch.feed(Sample(SHADOW, at, compared=10, matched=0) for at in range(100, 120))
    watch.feed_places({"$.total": {100: PlaceCount(100, 5)}, "$.other": {110: PlaceCount(9, 9)}})
    assert watch.places == {"$.total"}
    assert [firing.at for _, firing in watch.step(109)] == []
    watch.feed_places({"$.total": {100: PlaceCount(100, 5), 110: PlaceCount(100, 90)}})
    (found,) = watch.step(119)
    assert found[1].reason.startswith("divergence_rate of candidate at $.total 90.000 %")


def test_watch_takes_uncounted_places_for_unmeasured() -> None:
    """What was compared before anyone counted the place says nothing of it."""
    watch = Watch(plan(
        metric="divergence_rate", path="$.total", above=None, at_most="10%", **{"for": "0s"},
        over="10s", min_samples=1))
    watch.feed(Sample(SHADOW, at, compared=10, matched=10) for at in range(100, 110))
    assert watch.step(109) == []


def test_watch_fires_on_what_the_gateway_refused_itself() -> None:
    """The gateway's refusals are in either system's window, and named as the gateway's."""
    watch = Watch(plan(metric="refused_rate", of="baseline", action="alert"))
    reasons = []
    for at in range(100, 110):
        watch.feed([Sample("baseline", at, requests=19),
                    Sample(GATEWAY, at, requests=20, errors={"http1.codec_error": 2})])
        reasons += [firing.reason for _, firing in watch.step(at)]
    assert reasons == [
        "refused_rate of the gateway 10.000 % is above 5.000 % in 40 samples, for 3 s"]


def test_trigger_of_a_segment_begins_anew_when_its_users_move() -> None:
    """What they met before, on another system, is no evidence; triggers of others go on."""
    watch = Watch(plan(segment="beta"))
    moved = RoutingState("watched", Mode.GRADUAL, segments=("beta",))
    watch.follow_segments(moved, at=100)
    beta_steps(watch, range(100, 103))
    watch.follow_segments(replace(moved, segments=(), kept=("beta",)), at=103)
    assert beta_steps(watch, range(103, 106)) == []
    assert beta_steps(watch, range(106, 108)) == [106]


def test_trigger_of_a_segment_goes_on_when_nothing_moved() -> None:
    """Neither another percentage nor another segment is a new beginning."""
    watch = Watch(plan(segment="beta"))
    moved = RoutingState("watched", Mode.GRADUAL, 100, segments=("beta",))
    watch.follow_segments(moved, at=100)
    beta_steps(watch, range(100, 103))
    watch.follow_segments(replace(moved, weight=500, segments=("beta", "gold")), at=103)
    assert beta_steps(watch, range(103, 105)) == [103]


def test_restart_of_the_observer_knows_where_segments_were() -> None:
    """A move while nobody watched begins anew; none does not."""
    before = Watch(plan(segment="beta"))
    moved = RoutingState("watched", Mode.GRADUAL, segments=("beta",))
    before.follow_segments(moved, at=100)
    beta_steps(before, range(100, 103))
    for state, fired in ((moved, [103]), (replace(moved, segments=()), [])):
        after = Watch(plan(segment="beta"))
        after.feed([beta_failing(at) for at in range(100, 103)])
        after.resume(before.states, since=0, begun=before.begun, moved=before.moved)
        after.follow_segments(state, at=103)
        assert beta_steps(after, range(103, 104)) == fired


def beta_failing(at: int) -> Sample:
    """Return a second in which all requests of the segment failed, and of others none."""
    beta = Measurements(requests=20, errors={"timeout": 20})
    return Sample("candidate", at, requests=2_000, errors={"timeout": 20},
                  subsets={"segment:beta": beta})


def beta_steps(watch: Watch, seconds: range) -> list[int]:
    """Feed such seconds and return those in which a trigger of the segment fired."""
    fired = []
    for at in seconds:
        watch.feed([beta_failing(at)])
        fired += [firing.at for _, firing in watch.step(at) if firing.scope == "segment:beta"]
    return fired


def budget_plan() -> Plan:
    """Return a plan whose trigger allows one failure in a thousand, watched over a minute."""
    known = plan().model_dump(exclude_unset=True)
    known["triggers"] = [{"name": "errors", "metric": "error_rate", "action": "alert", "budget": {
        "objective": "99.9%", "windows": [{"long": "1m", "short": "5s", "burn": 14.4}]}}]
    return Plan.model_validate(known)


def test_watch_fires_on_an_error_budget_that_burns_too_fast() -> None:
    """Once enough was burnt, and while it goes on."""
    watch, fired = Watch(budget_plan()), []
    for at in range(100, 160):
        watch.feed([Sample("candidate", at, requests=20, errors={"timeout": at >= 120})])
        fired += [firing.reason for _, firing in watch.step(at)]
    (reason,) = fired
    assert "burns the budget of 99.9 %" in reason


def test_budget_counts_a_second_once_however_often_it_comes() -> None:
    """A late line makes a second come again with one request more."""
    watch = Watch(budget_plan())
    for requests in (5, 6, 20):
        watch.feed([Sample("candidate", 100, requests=requests, errors={"timeout": requests})])
    watch.step(100)
    assert watch.judged["errors"].numbers["samples"] == 20


def test_budget_takes_stored_minutes_and_counts_none_of_them_again() -> None:
    """After a restart: minutes from the store, and the seconds since from memory."""
    watch = Watch(budget_plan())
    stored = [Sample("candidate", 60, 60, requests=900, errors={"timeout": 100})]
    watch.budgets["errors"].restore(stored, 120)
    watch.feed(Sample("candidate", at, requests=15) for at in range(110, 119))
    watch.feed([Sample("candidate", 119, requests=15), Sample("candidate", 120, requests=10)])
    counted = []
    for at in (119, 120):
        watch.step(at)
        counted.append(watch.judged["errors"].numbers["samples"])
    assert counted == [900, 10]


def at_percent(percent: int) -> RoutingState:
    """Return the routing state of a gradual stage."""
    return RoutingState("watched", Mode.GRADUAL, weight=percent * 100)


def test_a_trigger_of_some_stages_is_watched_only_there() -> None:
    """What fails at another percentage fires nothing, and what failed before is not counted."""
    watch = Watch(plan(stages=["gradual-50"]))
    watch.follow_segments(at_percent(25), at=100)
    assert steps(watch, range(100, 110)) == []
    assert "watched only in gradual-50" in watch.judged["errors"].reason
    watch.follow_segments(at_percent(50), at=110)
    assert steps(watch, range(110, 120)) == [113]


def test_a_trigger_of_some_stages_begins_anew_when_they_are_left() -> None:
    """It fired in its stage; entered again, it may fire again."""
    watch = Watch(plan(stages=["gradual-50"]))
    watch.follow_segments(at_percent(50), at=100)
    assert steps(watch, range(100, 110)) == [103]
    watch.follow_segments(at_percent(25), at=110)
    assert watch.states["errors"].fired_at is None
    watch.follow_segments(at_percent(50), at=120)
    assert steps(watch, range(120, 130)) == [123]


def test_a_restart_within_a_stage_resets_nothing() -> None:
    """The observer was killed: what was true before counts."""
    watch = Watch(plan(stages=["gradual-50"]))
    watch.follow_segments(at_percent(50), at=100)
    steps(watch, range(100, 103))
    again = Watch(plan(stages=["gradual-50"]))
    again.resume(watch.states, since=100, begun=watch.begun, moved=watch.moved)
    again.follow_segments(at_percent(50), at=103)
    assert steps(again, range(103, 105)) == [103]
