"""What the store keeps of comparisons, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from changeover.analysis.window import SHADOW
from changeover.cli.compare import as_text
from changeover.comparison.answers import Answer
from changeover.comparison.noise import Judgement
from changeover.domain.comparisons import FURTHER, LONGEST_PLACE, Compared, Example
from changeover.errors import StoreError
from changeover.plan.comparing import ComparisonSpec, ShadowSpec
from changeover.plan.model import Plan
from changeover.shadow import scores
from changeover.shadow.judging import Answers, Asked, Judge
from changeover.store import comparisons, divergences, minutes, plans, retention, samples
from changeover.store.engine import Store
from tests.support.processes import wait_for

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
PLAN = Plan.model_validate({
    "migration": "shop", "shadow": {"sample": 10},
    "systems": {"baseline": {"name": "a", "url": "http://127.0.0.1:1"},
                "candidate": {"name": "b", "url": "http://127.0.0.1:2"}},
    "phases": [{"phase": "gradual", "stages": [{"percent": 50, "soak": 0}]}],
})


@pytest.fixture
def shop(store: Store) -> Store:
    """A store with the migration `shop`."""
    plans.register(store, PLAN, source="test", now=NOW)
    return store


def compared(n: int = 0, *places: str, noisy: tuple[str, ...] | None = None) -> Compared:
    """Return a comparison `n` seconds after NOW that differs at `places`."""
    example = Example("GET /a", "$.a", "changed", "1", "2")
    return Compared(
        at=NOW + timedelta(seconds=n), request="GET /a", request_id=str(n),
        similarity=0.5 if places else 1.0, is_match=not places, baseline_seconds=0.01,
        candidate_seconds=0.02, found=dict.fromkeys(places, example),
        noisy=None if noisy is None else frozenset(noisy),
        answers=None if not places else b"x",
    )


def test_batches_add_up(shop: Store) -> None:
    """Rows, sums by second, places and coverage, over several writes."""
    comparisons.write(shop, "shop", [compared(0), compared(0, "$.a")], {"seen": 3})
    comparisons.write(shop, "shop", [compared(0, "$.a"), compared(9, "$.b")], {"seen": 2})
    window = samples.window(shop, "shop", "candidate", start=NOW, end=NOW + timedelta(seconds=5))
    assert (window.compared, window.matched, window.similarity) == (3, 1, 2.0)
    assert window.measure("similarity").value == pytest.approx(2 / 3)
    assert window.measure("divergence_rate").value == pytest.approx(2 / 3)
    assert {p.field: p.diverged for p in divergences.places(shop, "shop")} == {"$.a": 2, "$.b": 1}
    assert comparisons.coverage(shop, "shop") == {"seen": 5, "compared": 4, "matched": 1}


def test_gateways_that_count_at_the_same_time_lose_nothing(shop: Store) -> None:
    """New places, sums and coverage of two services that write the same rows at once."""
    places = [f"$.p{number}" for number in range(20)]

    def count(gateway: str, order: list[str]) -> None:
        for _ in range(5):
            batch = [compared(0, place) for place in order]
            comparisons.write(shop, "shop", batch, {"seen": len(batch)}, gateway=gateway)

    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(count, "main", places), pool.submit(count, "edge-1", places[::-1])]
        for each in both:
            each.result()
    assert {p.field: p.diverged for p in divergences.places(shop, "shop")} == dict.fromkeys(
        places, 10)
    assert comparisons.coverage(shop, "shop") == {"seen": 200, "compared": 200}
    with shop.read() as session:
        rows = samples.read_rows(session, "shop", SHADOW, 1, span=range(2**40))
    assert {row.gateway: row.compared for row in rows} == {"main": 100, "edge-1": 100}
    window = samples.window(shop, "shop", "candidate", start=NOW, end=NOW + timedelta(seconds=5))
    assert window.compared == 200


def test_sums_survive_the_rollup(shop: Store) -> None:
    """A minute says what its seconds said."""
    comparisons.write(shop, "shop", [compared(n) for n in range(60)], {})
    minutes.rollup(shop, "shop", now=NOW + timedelta(minutes=3))
    end = NOW + timedelta(minutes=2)
    assert samples.window(shop, "shop", "candidate", start=NOW, end=end).compared == 60


def test_pairs_tell_noise_from_regressions(shop: Store) -> None:
    """Who differs alone, and who together."""
    batch = [compared(0, "$.a", noisy=()), compared(0, noisy=("$.a",)),
             compared(0, "$.a", noisy=("$.a",)), compared(0, "$.a")]
    comparisons.write(shop, "shop", batch, {})
    (place,) = divergences.places(shop, "shop")
    assert (place.only_candidate, place.only_baseline, place.both) == (1, 1, 1)
    assert comparisons.coverage(shop, "shop")["paired"] == 3


def test_late_comparisons_count_when_they_are_known(shop: Store) -> None:
    """A candidate that hangs is known after its minute was summed up; gates and rows add up."""
    comparisons.write(shop, "shop", [compared(0)], {})
    late = NOW + timedelta(seconds=100)
    minutes.rollup(shop, "shop", now=late)
    comparisons.write(shop, "shop", [compared(n, "$.a") for n in range(1, 51)], {}, now=late)
    end = NOW + timedelta(minutes=10)
    window = samples.window(shop, "shop", "candidate", start=NOW, end=end)
    assert (window.compared, window.matched) == (51, 1)
    minutes.rollup(shop, "shop", now=NOW + timedelta(minutes=5))
    assert samples.window(shop, "shop", "candidate", start=NOW, end=end) == window


def test_minute_that_was_summed_up_takes_what_comes_late(shop: Store) -> None:
    """Whatever is written for it, its sum is that of its seconds."""
    comparisons.write(shop, "shop", [compared(0)], {})
    minutes.rollup(shop, "shop", now=NOW + timedelta(seconds=95))
    comparisons.write(shop, "shop", [compared(n, "$.a") for n in range(1, 51)], {})
    for seconds, counts in ((60, (51, 1)), (30, (30, 1)), (300, (51, 1))):
        window = samples.window(
            shop, "shop", "candidate", start=NOW, end=NOW + timedelta(seconds=seconds))
        assert (window.compared, window.matched) == counts


@pytest.mark.parametrize("odd", ["\ud800", "nul \0", "x" * 5_000], ids=["half", "nul", "long"])
def test_texts_of_any_kind_are_stored(shop: Store, odd: str) -> None:
    """Keys, requests and reasons come from users and systems; none may stop the others."""
    example = Example(f"GET /{odd}", f"$.{odd}", "changed", odd, odd)
    one = replace(compared(0), found={f"$['{odd}']": example}, request=odd, request_id=odd,
                  error=odd, noisy=frozenset({f"$['{odd}']"}))
    comparisons.write(shop, "shop", [one, one], {})
    (place,) = divergences.places(shop, "shop")
    assert place.diverged == 2
    assert len(place.field) <= LONGEST_PLACE
    str((place.field, place.examples)).encode("utf-8", "strict")


def test_outcomes_have_names_of_any_length(shop: Store) -> None:
    """PostgreSQL takes no more than a column holds."""
    outcome = "dropped: gateway's limit of streams"
    comparisons.write(shop, "shop", [], {outcome: 3})
    assert comparisons.coverage(shop, "shop") == {outcome: 3}


def test_any_number_of_places_fits_into_one_batch(shop: Store) -> None:
    """Statements have a limit of parameters; documents have none of keys."""
    example = Example("GET /", "$.a", "added", None, "1")
    batch = [replace(compared(n), found={f"$.k{n}_{key}": example for key in range(10_000)})
             for n in range(7)]
    comparisons.write(shop, "shop", batch, {})
    known = divergences.places(shop, "shop")
    assert len(known) == divergences.MOST_FIELDS + 1
    (further,) = [place for place in known if place.field == FURTHER]
    assert (further.diverged, further.counts) == (7, {"added": 7})


def test_old_rows_go_and_examples_stay(shop: Store) -> None:
    """Bodies beyond the newest few, rows beyond their age; what differed stays known."""
    comparisons.write(shop, "shop", [compared(n, "$.a") for n in range(10)], {})
    keep_for, keep_bytes = timedelta(days=1), 1_000_000
    retention.prune(shop, "shop", keep=3, keep_for=keep_for, keep_bytes=keep_bytes, now=NOW)
    assert [one.request_id for _, one in comparisons.saved_answers(shop, "shop")] == ["7", "8", "9"]
    gone = retention.prune(shop, "shop", keep=3, keep_for=keep_for, keep_bytes=keep_bytes,
                           now=NOW + 2 * keep_for)
    assert gone == 10
    assert len(divergences.places(shop, "shop")[0].examples) == 3


def test_store_of_comparisons_does_not_grow_beyond_its_size(shop: Store) -> None:
    """Bodies go before rows, the oldest first, and never those of another migration."""
    plans.register(shop, PLAN.model_copy(update={"migration": "other"}), source="test", now=NOW)
    large = [replace(compared(n, "$.a"), answers=b"x" * 5_000) for n in range(10)]
    comparisons.write(shop, "other", large[:2], {})
    comparisons.write(shop, "shop", large, {})
    rows = 10 * retention.ROW_BYTES

    def prune(keep_bytes: int) -> tuple[int, list[str]]:
        gone = retention.prune(shop, "shop", keep=100, keep_for=timedelta(days=1),
                               keep_bytes=keep_bytes, now=NOW)
        return gone, [one.request_id for _, one in comparisons.saved_answers(shop, "shop")]

    assert prune(rows + 50_000) == (0, [str(n) for n in range(10)])
    assert prune(rows + 10_000) == (0, ["8", "9"])
    assert prune(4 * retention.ROW_BYTES) == (6, [])
    assert len(comparisons.latencies(shop, "shop")) == 4
    assert len(comparisons.saved_answers(shop, "other")) == 2
    assert len(divergences.places(shop, "shop")[0].examples) == 3


def test_other_migrations_do_not_take_this_ones_place(shop: Store) -> None:
    """Ids are shared between migrations; how many comparisons there are is not."""
    plans.register(shop, PLAN.model_copy(update={"migration": "other"}), source="test", now=NOW)
    comparisons.write(shop, "shop", [compared(n, "$.a") for n in range(10)], {})
    comparisons.write(shop, "other", [compared(0) for _ in range(6_000)], {})
    comparisons.write(shop, "shop", [compared(11, "$.a")], {})
    gone = retention.prune(shop, "shop", keep=100, keep_for=timedelta(days=1),
                           keep_bytes=1_000_000, now=NOW)
    assert (gone, len(comparisons.saved_answers(shop, "shop"))) == (0, 11)


def test_many_old_rows_go_in_batches(shop: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in one look, none of the young ones."""
    monkeypatch.setattr(retention, "BATCH", 4)
    comparisons.write(shop, "shop", [compared(n) for n in range(20)], {})
    gone = retention.prune(shop, "shop", keep=1, keep_for=timedelta(seconds=8), keep_bytes=10_000,
                           now=NOW + timedelta(seconds=20))
    assert (gone, len(comparisons.latencies(shop, "shop"))) == (12, 8)


def test_places_without_end_are_summed_up(
    shop: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents with keys of their own each do not fill the store."""
    monkeypatch.setattr(divergences, "MOST_FIELDS", 5)
    comparisons.write(shop, "shop", [compared(0, f"$.key{n}") for n in range(50)], {})
    known = divergences.places(shop, "shop")
    assert len(known) <= 6
    assert {p.field: p.diverged for p in known}[FURTHER] == 45


STRICT = Judge.of(PLAN.shadow, None, today=NOW.date())
LENIENT = Judge.of(PLAN.shadow, ComparisonSpec(ignore=["$.a"]), today=NOW.date())


def judged(n: int, *bodies: str, saves_answers: bool = True) -> Compared:
    """Return the comparison of a baseline's answer, a candidate's, and a second baseline's."""
    headers = {"content-type": "application/json"}
    answers = Answers(*(Answer(200, headers, body.encode()) for body in bodies))
    asked = Asked(NOW + timedelta(seconds=n), f"GET /{n}", str(n))
    return STRICT.judge(asked, answers, saves_answers=saves_answers)


def known(shop: Store) -> tuple[object, ...]:
    """Return everything that is counted."""
    window = samples.window(shop, "shop", "candidate", start=NOW, end=NOW + timedelta(hours=1))
    places = sorted(divergences.places(shop, "shop"), key=lambda place: place.field)
    return (places, comparisons.coverage(shop, "shop"), window.compared, window.matched,
            [(f.place.field, f.verdict) for f in scores.collect(shop, "shop").findings])


def test_kept_pairs_are_scored_again_by_new_rules(shop: Store) -> None:
    """Rules can be mended without new traffic, and mended back."""
    comparisons.write(shop, "shop", [judged(0, '{"a":1,"b":1}', '{"a":2,"b":2}')], {})
    before = known(shop)
    assert scores.score_again(shop, PLAN, LENIENT) == (1, 0)
    found = {p.field: (p.diverged, p.ignored) for p in divergences.places(shop, "shop")}
    assert found == {"$.a": (0, 1), "$.b": (1, 0)}
    assert scores.score_again(shop, PLAN, STRICT) == (1, 0)
    assert [(p.field, p.diverged, p.ignored) for p in divergences.places(shop, "shop")] == [
        ("$.a", 1, 0), ("$.b", 1, 0)]
    assert comparisons.coverage(shop, "shop") == before[1]


def test_scoring_again_by_the_same_rules_changes_nothing(shop: Store) -> None:
    """Most pairs have no bodies any more; what was counted of them stays, noise included."""
    comparisons.write(shop, "shop", [
        judged(n % 50, f'{{"t":{n},"total":1}}', f'{{"t":-{n},"total":2}}',
               f'{{"t":{n + 500},"total":1}}', saves_answers=n < 20) for n in range(1, 200)
    ] + [judged(0, "{}", "{}") for _ in range(300)], {"seen": 500})
    before = known(shop)
    assert scores.score_again(shop, PLAN, STRICT) == (19, 0)
    assert known(shop) == before


def test_pair_that_matches_by_the_new_rules_is_a_match(shop: Store) -> None:
    """Its place no longer differs, its example goes, and it can be scored again all the same."""
    comparisons.write(shop, "shop", [judged(n, '{"a":1}', '{"a":2}') for n in range(5)]
                      + [judged(9, '{"b":1}', '{"b":2}', saves_answers=False)], {})
    scores.score_again(shop, PLAN, LENIENT)
    places = {place.field: place for place in divergences.places(shop, "shop")}
    assert (places["$.a"].diverged, places["$.a"].ignored, places["$.a"].examples) == (0, 5, [])
    assert (places["$.b"].diverged, len(places["$.b"].examples)) == (1, 1)
    assert comparisons.coverage(shop, "shop") == {"compared": 6, "matched": 5}
    assert len(comparisons.saved_answers(shop, "shop")) == 5


def test_comparison_that_comes_while_others_are_scored_again_counts_once(shop: Store) -> None:
    """The service goes on writing; two people may score again at once."""
    comparisons.write(shop, "shop", [judged(0, '{"a":1}', '{"a":2}')], {})
    (key, one), = comparisons.saved_answers(shop, "shop")
    until = comparisons.newest(shop, "shop")
    comparisons.write(shop, "shop", [judged(1, '{"a":1}', '{"a":2}')], {})
    assert [k for k, _ in comparisons.saved_answers(shop, "shop", until=until)] == [key]
    again = LENIENT.judge_again(key, one)
    assert again is not None
    assert comparisons.replace_scores(shop, "shop", [again]) == 1
    assert comparisons.replace_scores(shop, "shop", [again]) == 0
    (place,) = divergences.places(shop, "shop")
    assert (place.diverged, place.ignored) == (1, 1)
    assert comparisons.coverage(shop, "shop") == {"compared": 2, "matched": 1}


def test_pairs_of_which_too_much_is_masked_stay_as_they_were_judged(shop: Store) -> None:
    """A page whose masked places nobody can find is not kept, so nobody can judge it anew."""
    masking = Judge.of(ShadowSpec(mask=["$.card"]), None, today=NOW.date())
    pages = [Answer(200, {"content-type": "text/html"}, body) for body in (b"<p>1", b"<p>2")]
    asked = Asked(NOW, "GET /", "1")
    comparisons.write(shop, "shop", [masking.judge(asked, Answers(*pages))], {})
    before = known(shop)
    assert scores.score_again(shop, PLAN, masking) == (0, 1)
    assert known(shop) == before


@pytest.mark.parametrize("side", ["candidate", "second baseline"])
def test_missing_answer_says_nothing_about_what_would_stand_in_it(shop: Store, side: str) -> None:
    """One call in a hundred times out; a place that always differs from itself stays noise."""
    silent = Answer(error="timeout")
    rows = []
    for n in range(1_000):
        baseline, candidate, again = (
            Answer(200, {"content-type": "application/json"}, f'{{"t":{value}}}'.encode())
            for value in (n, -n - 1, n + 5_000))
        if n % 100 == 0:
            candidate, again = (silent, again) if side == "candidate" else (candidate, silent)
        rows.append(STRICT.judge(
            Asked(NOW, "GET /", str(n)), Answers(baseline, candidate, again),
            saves_answers=False))
    comparisons.write(shop, "shop", rows, {})
    found = {f.place.field: (f.place, f.verdict) for f in scores.collect(shop, "shop").findings}
    place, verdict = found["$.t"]
    assert (verdict.judgement, place.both) == (Judgement.NOISE, 990)
    assert (place.only_candidate, place.only_baseline) == (0, 0)
    missing = found["answer"][0]
    assert (missing.only_candidate, missing.only_baseline) == (
        (10, 0) if side == "candidate" else (0, 10))


def test_findings_put_regressions_first(shop: Store) -> None:
    """With the judgement, the coverage and the medians of the same requests."""
    batch = [compared(n % 50, "$.a", "$.t", noisy=("$.t",)) for n in range(200)]
    comparisons.write(shop, "shop", batch, {"seen": 250, "dropped: queue full": 50})
    found = scores.collect(shop, "shop")
    judged = {each.place.field: each.verdict.judgement for each in found.findings}
    assert judged == {"$.a": Judgement.REGRESSION, "$.t": Judgement.NOISE}
    assert found.findings[0].place.field == "$.a"
    assert found.latency == (0.01, 0.02)
    assert found.coverage["dropped: queue full"] == 50
    assert found.as_data()["places"][0]["judgement"] == "regression"


def test_rules_are_told_beside_what_they_hide(store: Store) -> None:
    """With owner and reason, in `changeover divergences` and in its JSON."""
    rule = {"path": "$.eta", "ignore": True, "owner": "ana", "reason": "clocks differ"}
    content = PLAN.model_dump(mode="json", by_alias=True, exclude_none=True)
    plan = Plan.model_validate({**content, "comparison": {"rules": [rule]}})
    plans.register(store, plan, source="test", now=NOW)
    one = replace(compared(0, "$.other"), ignored=frozenset({"$.eta"}))
    comparisons.write(store, "shop", [one], {})
    found = scores.collect(store, "shop")
    told = {place["place"]: place["rules"] for place in found.as_data()["places"]}
    assert told == {"$.eta": ("ignore: $.eta (ana: clocks differ)",), "$.other": ()}
    assert "  ignored in 1 answers\n  rule ignore: $.eta (ana: clocks differ)" in as_text(found, 20)


@pytest.mark.postgres
def test_a_transaction_that_the_server_ends_is_tried_again(shop: Store) -> None:
    """It stood still, and is no fault of what was written: nothing of it is dropped."""
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("one writer, in this process")
    lives = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    with pytest.raises(StoreError, match="ended the transaction"), shop.begin() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 20"))

        def has_ended() -> bool:
            with shop.read() as other:
                return not other.scalar(lives, {"pid": pid})

        wait_for(has_ended, what="the server ends it")
        session.execute(text("SELECT 1"))
