"""The console over HTTP: who may ask what, what is refused with which words, what is never lost."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from changeover import clock
from changeover.analysis.histogram import Histogram
from changeover.analysis.window import Sample
from changeover.domain.claims import Status
from changeover.domain.outcomes import Outcome
from changeover.domain.rollbacks import Stands, TriggerStanding
from changeover.domain.routing import Mode, explain
from changeover.domain.run_ends import End, Ended
from changeover.domain.tokens import Scope
from changeover.site.home import Home
from changeover.store import (
    carriers,
    claims,
    cutovers,
    outcomes,
    samples,
    tokens,
    trigger_standings,
)
from tests.integration.conftest import make_plan
from tests.integration.console.conftest import Serve, Served, metrics_of, started
from tests.support.processes import LONGEST_PAUSE, wait_for
from tests.support.ready_store import ready_store

pytestmark = pytest.mark.integration

JSON = {"content-type": "application/json"}
CLAIM = {"system": "baseline", "holder": "worker-1"}
OUTCOME = {"id": "o-1", "system": "candidate", "success": True}


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status and found["detail"]
    assert "Traceback" not in answer.text
    return found


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/claims/a", CLAIM), ("/v1/claims/a/complete", {"token": 1}), ("/v1/outcomes", OUTCOME)])
def test_every_write_needs_a_token(console: Served, path: str, body: dict) -> None:
    """Not even on this machine does anybody write without one."""
    problem = refused(console.client().post(path, json=body), 401)
    assert "changeover token create" in problem["detail"]
    assert refused(console.client("chg_" + "0" * 12 + "_" + "x" * 43).post(path, json=body), 401)
    read = console.client(console.token(Scope.READ))
    assert "may read" in refused(read.post(path, json=body), 403)["detail"]


def test_tokens_end_with_their_time_and_when_revoked(console: Served) -> None:
    """A revoked token is refused within two seconds."""
    old = console.token(lifetime=timedelta(seconds=-1))
    refused(console.client(old).post("/v1/outcomes", json=OUTCOME), 401)
    text = console.token()
    client = console.client(text)
    assert client.post("/v1/outcomes", json=OUTCOME).is_success
    tokens.revoke(console.store, "bench", text.split("_")[1], actor="t", now=clock.now())
    wait_for(lambda: client.post("/v1/outcomes", json=OUTCOME).status_code == 401, seconds=10)


def test_reads_are_free_on_loopback_only(serve: Serve) -> None:
    """Whoever can be reached by others asks everyone for a token; browsers may use a password."""
    beyond = serve(host="0.0.0.0")  # noqa: S104  what is tested
    for path in ("/", "/v1/status", "/metrics", "/v1/decision/alice"):
        refused(beyond.client().get(path), 401)
    assert beyond.client().get("/health").is_success
    text = beyond.token(Scope.READ)
    assert beyond.client(text).get("/v1/status").is_success
    assert httpx.get(beyond.url, auth=("anyone", text), timeout=LONGEST_PAUSE).is_success


def test_reads_on_loopback_need_the_consoles_name(console: Served) -> None:
    """A page from elsewhere cannot read it under a name that it points here."""
    client = console.client()
    assert client.get("/v1/status").is_success
    refused(client.get("/v1/status", headers={"host": "evil.example"}), 421)
    assert client.get("/v1/status", headers={"host": f"localhost:{console.port}"}).is_success


@pytest.mark.parametrize(("path", "body"), [
    ("/v1/claims/a", {**CLAIM, "extra": 1}), ("/v1/claims/a", {"system": "baseline"}),
    ("/v1/claims/a", {**CLAIM, "system": "third"}), ("/v1/claims/a", {**CLAIM, "lease_seconds": 0}),
    ("/v1/claims/a", {**CLAIM, "segments": ["unknown"]}), ("/v1/claims/a%00b", CLAIM),
    ("/v1/claims/" + "a" * 201, CLAIM), ("/v1/outcomes", {**OUTCOME, "extra": 1}),
    ("/v1/outcomes", []), ("/v1/outcomes", {**OUTCOME, "quality": {"q": "high"}}),
    ("/v1/outcomes", [OUTCOME, {**OUTCOME, "seconds": -1}]), ("/v1/outcomes", None),
], ids=str)
def test_what_is_not_known_is_refused_with_its_place(
    console: Served, path: str, body: Any
) -> None:
    """Unknown fields, wrong values, empty batches: nothing is guessed, nothing is half done."""
    before = claims.open_claims(console.store, "bench", now=clock.now())
    refused(console.client(console.token()).post(path, json=body), 422)
    assert claims.open_claims(console.store, "bench", now=clock.now()) == before


def test_parameter_that_nobody_knows_is_refused(console: Served) -> None:
    """`segments` for `segment` is no user without segments."""
    answer = console.client().get("/v1/decision/alice?segments=beta")
    assert refused(answer, 422)["allowed"] == "segment"


def test_large_bodies_are_refused_unread(console: Served) -> None:
    """Also when their length is not told beforehand."""
    client = console.client(console.token())
    for path, most in (("/v1/outcomes", 2 << 20), ("/v1/claims/a", 64 << 10)):
        refused(client.post(path, content=b"x" * (most + 1)), 413)
        parts = (b"x" * 65536 for _ in range(1 + most // 65536))
        refused(client.post(path, content=parts, headers=JSON), 413)


def test_decision_is_the_gateways_in_every_mode(console: Served) -> None:
    """The same system and the same words as `explain`, for every key."""
    client = console.client()
    moves = [(Mode.SHADOW, 0), (Mode.PARALLEL, 0), (Mode.GRADUAL, 3700), (Mode.CANDIDATE_ONLY, 0),
             (Mode.EMERGENCY_ROLLBACK, 0), (Mode.BASELINE_ONLY, 0)]
    for mode, weight in moves:
        fields = {"segments": ("beta",)} if mode is Mode.GRADUAL else {}
        state = console.move(mode, weight, **fields)
        for number in range(40):
            key, segments = f"user/{number}", ["beta"] if number % 5 == 0 else []
            found = client.get(f"/v1/decision/{key}", params={"segment": segments}).json()
            known = explain(state, key, frozenset(segments))
            assert (found["system"], found["because"], found["bucket"]) == (
                known.system, known.because, known.bucket)
            assert (found["mode"], found["both"]) == (mode, mode is Mode.PARALLEL)


def test_of_200_claimers_over_http_one_wins(console: Served) -> None:
    """Requests that share a transaction do not share an item."""
    token, together = console.token(), threading.Barrier(50, timeout=60)
    # one each: a shared pool closes idle connections while other threads take them
    clients = [console.client(token) for _ in range(50)]

    def ask(number: int) -> list[httpx.Response]:
        client = clients[number]
        together.wait()
        return [client.post(f"/v1/claims/item-{item}",
                            json={"system": "baseline", "holder": f"w{number}-{again}"})
                for item, again in itertools.product(range(3), range(4))]

    with ThreadPoolExecutor(50) as pool:
        answers = list(itertools.chain(*pool.map(ask, range(50))))
    won = Counter(answer.json()["item"] for answer in answers if answer.is_success)
    assert won == {f"item-{item}": 1 for item in range(3)}
    assert {refused(a, 409)["why"] for a in answers if not a.is_success} == {"held"}
    assert not any("token" in a.json()["claim"] for a in answers if not a.is_success)


def test_a_claim_lives_through_all_its_steps(console: Served) -> None:
    """Claim, renew, hand over, claim by the other, complete; then never again."""
    client = console.client(console.token())
    console.move(Mode.CANDIDATE_ONLY)
    mine = client.post("/v1/claims/acme:shop:42", json={
        "system": "candidate", "holder": "new-1", "lease_seconds": 5}).json()
    longer = client.post("/v1/claims/acme:shop:42/renew",
                         json={"token": mine["token"], "lease_seconds": 500}).json()
    assert longer["expires_at"] > mine["expires_at"]
    given = client.post("/v1/claims/acme:shop:42/hand-over", json={
        "token": mine["token"], "to": "baseline", "reason": "not supported yet"}).json()
    assert (given["status"], given["given_to"]) == ("free", "baseline")
    theirs = client.post("/v1/claims/acme:shop:42", json=CLAIM).json()
    assert theirs["token"] == mine["token"] + 1
    stale = client.post("/v1/claims/acme:shop:42/complete", json={"token": mine["token"]})
    assert refused(stale, 409)["why"] == "stale_token"
    done = client.post("/v1/claims/acme:shop:42/complete", json={"token": theirs["token"]})
    assert done.json()["status"] == "done"
    assert refused(client.post("/v1/claims/acme:shop:42", json=CLAIM), 409)["why"] == "done"
    refused(client.post("/v1/claims/never/complete", json={"token": 1}), 404)
    console.move(Mode.BASELINE_ONLY)


def test_nothing_that_was_answered_is_lost_when_the_console_is_killed(serve: Serve) -> None:
    """kill -9 under load: every claim and outcome with an answer is in the store; counts agree."""
    console = serve()
    token, answered, lock = console.token(), [], threading.Lock()
    done, lasting = threading.Event(), {**CLAIM, "lease_seconds": 3600}

    def work(number: int) -> None:
        with httpx.Client(base_url=console.url, headers={"authorization": f"Bearer {token}"},
                          timeout=LONGEST_PAUSE, trust_env=False) as client:
            for each in itertools.count():
                key = f"k{number}-{each}"
                try:
                    claimed = client.post(f"/v1/claims/{key}", json=lasting).is_success
                    kept = client.post("/v1/outcomes", json={**OUTCOME, "id": key}).is_success
                except httpx.HTTPError:
                    return
                assert claimed and kept
                with lock:
                    answered.append(key)
                if done.is_set():
                    return

    with ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(work, number) for number in range(8)]
        wait_for(lambda: len(answered) > 150, seconds=60, what="answers")
        console.kill()
        done.set()
        for worker in workers:
            worker.result(30)
    for key in answered:
        found = claims.one(console.store, "bench", key)
        assert found is not None and found.status is Status.HELD
    again = [Outcome(key, "candidate", True) for key in answered]
    assert outcomes.save(console.store, "bench", again, now=clock.now()) == frozenset()
    now = clock.now()
    window = samples.window(console.store, "bench", "candidate", start=now - timedelta(hours=1),
                            end=now + timedelta(minutes=1))
    assert len(answered) <= window.outcomes <= len(answered) + 8
    console.start()
    assert console.client(token).post(f"/v1/claims/{answered[0]}", json=CLAIM).json()["token"] == 1


def test_metrics_are_prometheus_text_of_what_is_stored(serve: Serve) -> None:
    """Routing, both systems' traffic, claims, outcomes and ages, in the format's own parser."""
    console = serve()
    client = console.client(console.token())
    console.move(Mode.GRADUAL, 2500)
    at = int(clock.now().timestamp()) + 1
    samples.write(console.store, "bench", [Sample(
        "candidate", at, requests=10, errors={"timeout": 2},
        latency=Histogram.of([4_000] * 8 + [700_000] * 2)),
        Sample("gateway", at, requests=11, errors={"http1.codec_error": 1})])
    client.post("/v1/claims/a", json=CLAIM)
    client.post("/v1/outcomes", json={**OUTCOME, "quality": {"confidence": 0.5}})

    def scraped() -> dict[tuple[str, frozenset], float]:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(client.get("/metrics").text)
            for sample in family.samples
        }

    def value(metric: str, /, **labels: str) -> float | None:
        labels["migration"] = "bench"
        return scraped().get((f"changeover_{metric}", frozenset(labels.items())))

    wait_for(lambda: value("requests_total", system="candidate") == 10, seconds=30)
    assert value("request_errors_total", system="candidate", kind="timeout") == 2
    assert value("gateway_refused_total", reason="http1.codec_error") == 1
    assert value("request_duration_seconds_bucket", system="candidate", le="0.005") == 8
    assert value("request_duration_seconds_count", system="candidate") == 10
    assert value("mode", mode="gradual") == 1 and value("mode", mode="shadow") == 0
    assert value("candidate_ratio") == 0.25
    assert value("gateway_in_sync") == 0
    assert value("outcomes_total", system="candidate", result="success") == 1
    # five minutes of outcomes are read for several scrapes at once
    wait_for(lambda: value("outcome_quality", system="candidate", name="confidence") == 0.5,
             seconds=30, what="the outcome")
    assert (value("service_age_seconds", service="console") or 99) < 30


def test_the_page_needs_nothing_from_elsewhere_and_escapes_everything(serve: Serve) -> None:
    """A strict policy, no script within it, and what people wrote is text."""
    console = serve(make_plan(triggers=[
        {"name": "bad", "metric": "outcome_error_rate", "above": "10%", "for": "1s",
         "action": "rollback"}]))
    console.move(Mode.GRADUAL, 2500)
    console.move(Mode.GRADUAL, 5000, maintenance=True,
                 maintenance_reason="<script>alert(1)</script>")
    wait_for(lambda: "traffic: " in console.client().get("/").text, seconds=30, what="the page")
    answer = console.client().get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy
    # scripts are files of the console: none stands in the page
    assert "<script>" not in answer.text and "&lt;script&gt;" in answer.text
    assert "http://" not in answer.text.replace("http://127.0.0.1", "")
    for part in ("50 %", "gradual", "outcomes without success of candidate above 10.000 %", "old",
                 "new", "traffic: ", "answers 4xx"):
        assert part in answer.text
    # a rate of statuses that nobody named would never have a value
    assert "answers with a status" not in answer.text


def test_page_and_status_say_what_nobody_carries_on(console: Served) -> None:
    """What happened to the run, where users stand, and what can be done."""
    cutover = cutovers.begin(
        console.store, "bench", flow_run_id="gone", now=clock.now())
    (carrier,) = carriers.of(console.store, "bench")
    ended = Ended(End.CANCELLED, clock.now(), "by <ann>")
    carriers.note_end(console.store, carrier, ended, text="told", now=clock.now())
    client = console.client()
    (told,) = client.get("/v1/status").json()["ended_runs"]
    assert (told["subject"], told["end"]) == (f"cutover {cutover.id}", "cancelled")
    said = f"Nobody carries on cutover {cutover.id}"
    wait_for(lambda: said in client.get("/").text, seconds=30, what="the page")
    page = client.get("/").text
    for part in (said, "(by &lt;ann&gt;)", "changeover continue"):
        assert part in page


def test_a_locked_store_is_said_and_asked_again(console: Served) -> None:
    """503, why, and when to try again; nothing is lost and nothing is pretended."""
    client = console.client(console.token())
    assert client.post("/v1/claims/a", json=CLAIM).is_success
    connection = sqlite3.connect(console.home.root / "store.db", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        answer = client.post("/v1/claims/b", json=CLAIM)
        assert "locked" in refused(answer, 503)["detail"]
        assert answer.headers["retry-after"] == "1"
        assert client.get("/v1/decision/alice").is_success  # reading never waits
    finally:
        connection.execute("ROLLBACK")
        connection.close()
    assert client.post("/v1/claims/b", json=CLAIM).is_success


def test_old_outcomes_go_faster_than_new_ones_can_come(tmp_path: Path) -> None:
    """A backlog is worked off in parts, one after the other, not one a minute."""
    home = Home(tmp_path / "home")
    home.create()
    store = ready_store(home.store_url)
    old = int((clock.now() - timedelta(days=30)).timestamp())
    with store.begin() as session:
        session.execute(text(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120000) "
            "INSERT INTO outcome (migration, id, at, system, success, segments) "
            "SELECT 'bench', 'o-' || i, :old, 'candidate', 1, '' FROM n"), {"old": old})
    with ExitStack() as stack:
        console = started(stack, home)

        def left() -> int:
            with console.store.read() as session:
                return int(session.scalar(text("SELECT count(*) FROM outcome")) or 0)

        wait_for(lambda: left() == 0, seconds=50, what="pruning")
    store.close()


def test_page_and_metrics_say_how_triggers_stand(serve: Serve) -> None:
    """Armed, holding, firing or over, since when, with value and what others wrote as text."""
    console = serve(make_plan(triggers=[
        {"name": "bad", "metric": "error_rate", "above": "10%", "for": "1s", "action": "alert"},
        {"name": "unseen", "metric": "error_rate", "above": "20%", "for": "1s",
         "action": "alert"}]))
    now = clock.now()
    trigger_standings.save(console.store, "bench", [TriggerStanding(
        "bench", "bad", now, Stands.FIRING, now, 0.25, "<b>many</b> failed", {}, {})])
    client = console.client()
    wait_for(lambda: "25.000 %" in client.get("/").text, seconds=30, what="the page")
    page, scraped = client.get("/").text, metrics_of(console)
    for part in ('<span class="chip fail">firing</span>', "25.000 %", "&lt;b&gt;many&lt;/b&gt;",
                 "armed, not judged of late", "nobody has judged it yet"):
        assert part in page
    assert "<b>many" not in page
    labels = '{action="alert",migration="bench",trigger="bad"}'
    for name, number in (("standing", 2.0), ("value", 0.25), ("nearness_ratio", 2.5)):
        assert f"changeover_trigger_{name}{labels} {number}" in scraped
    assert 'trigger="unseen"' not in scraped
    found = client.get("/v1/status").json()["triggers"]
    assert [each["stands"] for each in found] == ["firing", "armed"]
