"""The findings of the comparisons, and how saved pairs are scored again by changed rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from changeover import clock
from changeover.plan.model import Plan
from changeover.shadow.findings import Findings, judged
from changeover.shadow.rules_in_words import rules_in_words
from changeover.store import comparisons, divergences, plans
from changeover.store.engine import Store

if TYPE_CHECKING:
    from changeover.shadow.judging import Judge


def collect(store: Store, migration: str) -> Findings:
    """Return what differs between a migration's systems.

    Raises:
        StoreError: The store cannot be used.
        InvalidInput: No such migration.
    """
    spec = plans.load(store, migration).comparison
    rules = rules_in_words(spec, today=clock.now().date())
    known = divergences.places(store, migration)
    coverage = comparisons.coverage(store, migration)
    return judged(known, coverage, rules, comparisons.latencies(store, migration))


def score_again(
    store: Store, plan: Plan, judge: Judge,
    report: Callable[[int], None] = lambda number: None,
) -> tuple[int, int]:
    """Judge the saved pairs by the plan's rules as they are now.

    Their counts are replaced. All other counts stay: pairs that matched are not saved, nor are all
    that differ. Comparisons that arrive in the meantime stay as they are.

    Args:
        store: The store.
        plan: The plan.
        judge: The rules as they are now.
        report: Told how many pairs were judged so far.

    Returns:
        How many were scored again, and how many could not be, because too much is masked.
    """
    until = comparisons.newest(store, plan.migration)
    after = number = done = 0
    # In batches: the store is not locked for as long as all of them take.
    while batch := comparisons.saved_answers(store, plan.migration, after=after, until=until):
        again = []
        for key, one in batch:
            found = judge.judge_again(key, one)
            if found is not None:
                again.append(found)
        done += comparisons.replace_scores(store, plan.migration, again)
        after, number = batch[-1][0], number + len(batch)
        report(number)
    return done, number - done
