"""What the gates of the present stage would say now: on the page, in `/metrics`, in the status."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from changeover import clock
from changeover.domain.hooks import Hook, When, facts_of
from changeover.domain.procedures import Step, StepStatus, of_cutover
from changeover.domain.rollout import CutoverStatus, StageStatus, Standing
from changeover.domain.verdict import Verdict
from changeover.plan.hooks import HookSpec
from changeover.site import status
from changeover.store import cutovers, heartbeats, standings, steps
from tests.integration.console.conftest import Served, metrics_of
from tests.support.processes import wait_for

pytestmark = pytest.mark.integration

STAGE = "gradual-50"
HARM = "latency_p95: 9.10% of 4000 requests of the candidate took longer: <b>harm</b> is shown"


@pytest.fixture
def soaking(console: Served) -> Iterator[Served]:
    """The console of a migration whose stage of 50 % soaks."""
    cutover = cutovers.begin(console.store, "bench", flow_run_id=str(uuid4()), now=clock.now())
    cutovers.enter_stage(console.store, cutover.id, console.plan.stages()[0], now=clock.now())
    yield console
    cutovers.finish(console.store, cutover.id, status=CutoverStatus.STOPPED,
                    outcome="the test is over", now=clock.now())
    # what one test left is shown for a moment, and would be the next one's
    wait_for(lambda: not shown(console), seconds=30, what="nothing is judged any more")


def shown(console: Served) -> bool:
    """Whether the page or the status, which are kept for a second, show any gate."""
    client = console.client()
    gates = client.get("/v1/status").json()["gates"]
    return bool(gates) or "What gate slo" in client.get("/").text


def check(verdict: Verdict, reason: str, **changes: Any) -> dict[str, Any]:
    """Return the evidence of a check on errors that compares two values."""
    return {
        "metric": "error_rate", "of": "candidate", "bound": "below 0.500 %", "reason": reason,
        "verdict": str(verdict), "value": 0.001, "samples": 4000, "min_samples": 100,
        "baseline_value": None, "baseline_samples": None, **changes,
    }


def checks() -> list[dict[str, Any]]:
    """Return a check by a bound, and two by evidence: one undecided and only shown, one harm."""
    return [
        check(Verdict.PASS, "error_rate of candidate 0.100 % is below 0.500 % in 4000 samples"),
        check(Verdict.INCONCLUSIVE, "error_rate: no harm is shown, but it is not excluded yet",
              bound="at most 1.1 × baseline", baseline_value=0.002, baseline_samples=3900,
              check={"metric": "error_rate", "segment": "beta"}, on_fail="show",
              subset="segment:beta", interval={"of": "ratio", "value": 0.5, "low": 0.25, "high": 1},
              outlook={"text": "about 40 minutes more", "seconds": 2400.0},
              sequential={"log_worse": -1.5, "stage": {"log_better": 0.75}}),
        check(Verdict.FAIL, HARM, metric="latency_p95", value=0.25,
              bound="at most 1.1 × baseline", baseline_value=0.125, baseline_samples=3900,
              sequential={"log_worse": 9.25, "stage": {"log_better": None}}),
        check(Verdict.PASS, "external.failed_payments of candidate 1.500 % is below 5.000 %, by "
              "source prom at 12:00:05 UTC", metric="external.failed_payments", value=0.015,
              check={"metric": "external.failed_payments", "unit": "share"}),
    ]


def judged(console: Served, *evidence: dict[str, Any], ago: timedelta = timedelta()) -> int:
    """Save how the gate stands, as the observer does; return the cutover's id."""
    cutover = cutovers.latest(console.store, "bench")
    assert cutover is not None
    standings.save(console.store, Standing(
        cutover.id, STAGE, "slo", clock.now() - ago, Verdict.FAIL, "it is judged",
        list(evidence)))
    return cutover.id


def page_with(console: Served, part: str) -> str:
    """Return the page once it shows a text: it is made anew every second."""
    client = console.client()
    wait_for(lambda: part in client.get("/").text, seconds=30, what=part)
    return client.get("/").text


def scraped(console: Served) -> dict[tuple[str, ...], float]:
    """Return the gauges of checks by name, number of the check, metric and what follows."""
    found = {}
    for family in text_string_to_metric_families(metrics_of(console)):
        if family.name.startswith("changeover_check_"):
            for sample in family.samples:
                labels = sample.labels
                assert (labels["stage"], labels["gate"]) == (STAGE, "slo")
                name = sample.name.removeprefix("changeover_check_")
                found[name, labels["check"], labels["metric"], labels["on_fail"]] = sample.value
    return found


def test_the_page_shows_each_check_with_its_numbers(soaking: Served) -> None:
    """Value, the baseline's, the bound, what it would say, and why; others' words are text."""
    judged(soaking, *checks())
    page = page_with(soaking, "would fail")
    for part in (
        "What gate slo would say of gradual-50 now", "would pass", "undecided", "shown only",
        "0.5 × baseline, 0.25 to 1", "about 40 minutes more",
        "failed requests of candidate in segment beta", "0.100 %", "0.200 %", "250 ms", "125 ms",
        "at most 1.1 × baseline", "is below 0.500 % in 4000 samples",
        "failed payments of candidate", "1.500 %", "by source prom at 12:00:05 UTC",
        "&lt;b&gt;harm&lt;/b&gt; is shown", "Passing waits for the soak's end",
    ):
        assert part in page


def test_the_page_says_nothing_of_a_stage_that_is_decided(soaking: Served) -> None:
    """What a gate would say is of no interest once it has been said."""
    cutover = judged(soaking, *checks())
    page_with(soaking, "What gate slo")
    cutovers.decide(soaking.store, cutover, STAGE, status=StageStatus.PROMOTED, reason="done",
                    now=clock.now())
    client = soaking.client()
    wait_for(lambda: "What gate slo" not in client.get("/").text, seconds=30, what="the page")
    assert scraped(soaking) == {}


def test_a_cutover_that_ended_in_its_stage_has_no_standing(soaking: Served) -> None:
    """Somebody stopped it where it was: nothing is judged any more."""
    cutover = judged(soaking, *checks())
    assert len(scraped(soaking)) > 1
    cutovers.finish(soaking.store, cutover, status=CutoverStatus.STOPPED, outcome="stopped",
                    now=clock.now())
    assert scraped(soaking) == {}
    wait_for(lambda: not shown(soaking), seconds=30, what="no gate")


def test_metrics_say_how_each_check_stands(soaking: Served) -> None:
    """Evidence only where there is some; two checks of one metric are two series."""
    judged(soaking, *checks())
    found = scraped(soaking)
    numbers = {}
    for key, value in found.items():
        # of every check: how many samples, and of those with one the baseline's value
        if key[0] not in ("samples", "baseline_value"):
            numbers[key] = value
    first, second = ("1", "error_rate", "rollback"), ("2", "error_rate", "show")
    third = "3", "latency_p95", "rollback"
    fourth = "4", "external.failed_payments", "rollback"
    assert found["samples", *first] == 4000
    assert found["baseline_value", *second] == 0.002
    assert numbers == {
        ("value", *first): 0.001, ("standing", *first): 1,
        ("value", *second): 0.001, ("standing", *second): 0,
        ("low", *second): 0.25, ("high", *second): 1, ("remaining_seconds", *second): 2400,
        ("log_worse", *second): -1.5, ("log_better", *second): 0.75,
        ("value", *third): 0.25, ("standing", *third): -1, ("log_worse", *third): 9.25,
        ("value", *fourth): 0.015, ("standing", *fourth): 1,
    }


def test_a_check_without_data_has_a_standing_and_no_value(soaking: Served) -> None:
    """A value of 0 would look like a good one."""
    judged(soaking, check(Verdict.INCONCLUSIVE, "0 of at least 100 samples", value=None))
    label = "1", "error_rate", "rollback"
    assert scraped(soaking) == {("standing", *label): 0, ("samples", *label): 4000}


def test_what_nobody_judged_of_late_is_said_to_be_old(soaking: Served) -> None:
    """An observer that died leaves no "would pass" for hours: programs see nothing at all."""
    judged(soaking, *checks(), ago=timedelta(minutes=3))
    page_with(soaking, "Nobody has judged it since")
    assert scraped(soaking) == {}
    wait_for(lambda: shown(soaking), seconds=30, what="the gate")
    found = wait_for(
        lambda: (seen := soaking.client().get("/v1/status").json())["gates"] and seen,
        what="the status is new")
    assert found["gates"][0]["is_old"]
    assert "and not since): would pass: error_rate" in status.as_text(found)


def test_hooks_of_stages_and_synthetic_load_are_shown(soaking: Served) -> None:
    """On the page and in the status: done, or failed with the reason."""
    cutover = cutovers.latest(soaking.store, "bench")
    assert cutover is not None
    for number, state in enumerate((StepStatus.DONE, StepStatus.FAILED), 1):
        hook = Hook(STAGE, When.BEFORE, number, HookSpec(lever="up", undo="down"))
        steps.save(soaking.store, Step(
            "bench", of_cutover(cutover.id), hook.step, state, "no <b>room</b>", clock.now(),
            clock.now(), facts_of(hook, 1, is_pulled=True)))
    own = heartbeats.service_of("bench", "load")
    heartbeats.beat(soaking.store, own, pid=1, detail="steady: 7 sent", now=clock.now())

    def collected() -> dict[str, Any] | None:
        seen: dict[str, Any] = soaking.client().get("/v1/status").json()
        return seen if len(seen["hooks"]) == 2 and seen["load"] else None  # kept for a moment

    found: Any = wait_for(collected, what="the status is new")
    assert [each["status"] for each in found["hooks"]] == ["done", "failed"]
    told = status.as_text(found)
    assert "hook before gradual-50 hook 1: lever up done" in told
    assert "lever up failed, no <b>room</b>" in told
    assert "synthetic load: steady: 7 sent" in told
    page = page_with(soaking, "lever up: failed")
    for part in ("lever up: done", "no &lt;b&gt;room&lt;/b&gt;", "synthetic load: steady: 7 sent"):
        assert part in page
