"""Commands about differences: divergences, replay."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from changeover import clock
from changeover.cli.bars import bar, several
from changeover.cli.common import (
    FILE,
    Session,
    environment_option,
    output_option,
    pass_session,
    shared_option,
    site_command,
)
from changeover.errors import EXIT_FAILED
from changeover.plan.model import Plan
from changeover.shadow import scores
from changeover.shadow.findings import Finding, Findings
from changeover.store import comparisons

if TYPE_CHECKING:
    from changeover.domain.comparisons import Compared
    from changeover.shadow.tap import Exchange

MOST_PLACES = 20
MOST_EXAMPLES = 2


@click.command(epilog="\b\nExamples:\n  changeover divergences\n"
               "  changeover divergences --limit 5 --output json\n"
               "  changeover divergences --again --plan plans/own.yaml   after mending the rules")
@site_command
@click.option("--limit", default=MOST_PLACES, show_default=True, help="Places to show.")
@click.option("--again", is_flag=True, help="Score the saved pairs again by the plan's rules.")
@shared_option("--plan", "plan_file", type=FILE,
               help="With --again: a plan with other rules; it is not saved.")
def divergences(session: Session, limit: int, again: bool) -> None:
    """Show what differs between the two systems' answers, regressions first."""
    site = session.site
    if again:
        from changeover.shadow.judging import Judge  # half of this command's imports

        plan = session.load_plan() if session.plan_file else site.plan
        today = clock.now().date()
        judge = Judge.of(plan.shadow, plan.comparison, today=today, routes=plan.routes)
        with several(unit="pairs") as report:
            done, left = scores.score_again(
                site.store, site.plan, judge, lambda number: report("scoring again", number, 0))
        text = f"{done} saved pairs were scored again"
        if left:
            why = "too much of them is masked"
            text += f", {left} stay as they were judged: {why}"
        # on standard error: the findings alone are the output
        click.echo(text, err=True)
    known = scores.collect(site.store, site.migration)
    session.show(as_text(known, limit), known.as_data())


@click.command("replay", epilog="\b\nExamples:\n"
               "  changeover replay traffic.har --plan plans/own.yaml\n"
               "  changeover replay traffic.har --plan plans/own.yaml --host shop.example\n"
               "  changeover replay requests.jsonl --plan plans/own.yaml --env testing --unsafe\n"
               "\b\nA line of JSON lines is {\"method\": \"GET\", \"path\": \"/a?b=c\", "
               "\"headers\": {…}, \"body\": \"…\"}.")
@click.argument("recording", metavar="FILE", type=FILE)
@shared_option("--plan", "plan_file", type=FILE, required=True,
               help="Plan with both systems and the rules.")
@environment_option
@click.option("--concurrency", default=4, show_default=True, type=click.IntRange(1, 200),
              help="Requests at the same time.")
@click.option("--host", "hosts", multiple=True, metavar="HOST",
              help="Of a browser's recording: replay what went to this host. Default: the host of "
                   "the first request that was not sent on elsewhere.")
@click.option("--unsafe", is_flag=True, help="Replay POST, PUT, PATCH and DELETE, too.")
@output_option
@pass_session
def replay_command(
    session: Session, *, recording: Path, concurrency: int, hosts: tuple[str, ...], unsafe: bool
) -> int:
    """Send recorded traffic to both systems and compare their answers (exit code 1: they differ).

    A system that does not answer differs, also from one that does not answer either. Of a
    browser's recording only what went to the recorded host is sent; the rest is counted.
    This is how a candidate is validated before it sees a user.
    """
    from changeover.shadow import replay

    plan = session.load_plan()
    recorded, skipped = replay.load(recording, with_unsafe=unsafe, hosts=hosts)
    batch, left_out = _replay(plan, recorded, concurrency)
    unanswered = [one for one in batch if not replay.has_baseline(one)]
    # a store of its own: a replay must not change what the migration's gates read
    with replay.scratch_store(plan) as store:
        seen = len(recorded) + skipped.total()
        counts = {"seen": seen, **skipped, **left_out}
        counts["no answer from the baseline"] = len(unanswered)
        comparisons.write(store, plan.migration, batch, counts)
        known = scores.collect(store, plan.migration)
    session.show(as_text(known, MOST_PLACES), known.as_data())
    # exactly 1: a single answer that differs is a difference
    return 0 if known.match_rate == 1 else EXIT_FAILED


def _replay(
    plan: Plan, recorded: list[Exchange], concurrency: int
) -> tuple[list[Compared], Counter[str]]:
    """Send the requests to both systems, with a bar; return what was compared and left out."""
    import asyncio

    from changeover.shadow import replay

    with bar("replaying", len(recorded)) as advance:
        sending = replay.run(
            plan, recorded, concurrency=concurrency, on_done=lambda: advance(1))
        return asyncio.run(sending)


def as_text(known: Findings, limit: int) -> str:
    """Return the findings for people."""
    counts = dict(known.coverage)
    compared, rate = counts.pop("compared", 0), known.match_rate
    if rate is None:
        seen = _counted(counts) or "nothing was seen"
        return f"nothing was compared yet; {seen}"
    head = f"{compared} answers compared, {rate:.2%} match"
    lines = [f"{head} ({_counted(counts)})"]
    if known.latency:
        baseline, candidate = (1000 * seconds for seconds in known.latency)
        both = f"baseline {baseline:.1f} ms, candidate {candidate:.1f} ms"
        lines.append(f"median of the same requests: {both}")
    for each in known.findings[:limit]:
        lines += _lines(each)
    left = len(known.findings) - limit
    if left > 0:
        lines += ["", f"and {left} further places"]
    return "\n".join(lines)


def _lines(finding: Finding) -> list[str]:
    """Return one place that differs, with examples, rules and what to do."""
    place, verdict = finding.place, finding.verdict
    lines = ["", f"{verdict.judgement}: {place.field}  {verdict.reason}"]
    for example in place.examples[:MOST_EXAMPLES]:
        baseline = example["baseline"] or "missing"
        candidate = example["candidate"] or "missing"
        what = f"{example['request']} {example['path']}"
        lines.append(f"  {what}: {baseline} → {candidate}")
    if place.ignored:
        lines.append(f"  ignored in {place.ignored} answers")
    lines += [f"  rule {rule}" for rule in finding.rules]
    return [*lines, f"  {finding.suggestion}"]


def _counted(counts: dict[str, int]) -> str:
    parts = [f"{counts[outcome]} {outcome}" for outcome in sorted(counts)]
    return ", ".join(parts)
