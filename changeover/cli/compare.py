"""Commands about differences: divergences, replay."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from changeover.cli.common import (
    environment_option,
    home_option,
    output_option,
    show,
)
from changeover.errors import EXIT_FAILED
from changeover.plan.load import load_plan
from changeover.shadow import scores
from changeover.shadow.findings import Findings
from changeover.site.site import Site
from changeover.store import comparisons


@click.command(epilog="\b\nExamples:\n  changeover divergences\n"
               "  changeover divergences --limit 5 --output json\n"
               "  changeover divergences --again --plan plans/own.yaml   after mending the rules")
@home_option
@output_option
@click.option("--limit", default=20, show_default=True, help="Places to show.")
@click.option("--again", is_flag=True, help="Score the kept pairs again by the plan's rules.")
@click.option("--plan", "file", type=click.Path(dir_okay=False, path_type=Path),
              help="With --again: a plan with other rules; it is not kept.")
def divergences(
    home: Path | None, migration: str | None, output: str, limit: int, again: bool,
    file: Path | None,
) -> None:
    """Show what differs between the two systems' answers, regressions first."""
    found = Site.open(home, migration)
    if again:
        from changeover.shadow.judging import Judge  # half of this command's imports

        plan = load_plan(file) if file else found.plan
        judge = Judge.of(plan.shadow, plan.comparison, today=datetime.now(UTC).date())
        done, left = scores.score_again(found.store, found.plan, judge)
        click.echo(f"{done} kept pairs were scored again" + (
            f", {left} stay as they were judged: too much of them is masked" if left else ""),
            err=True)
    known = scores.collect(found.store, found.migration)
    show(output, as_text(known, limit), known.as_data())


@click.command("replay", epilog="\b\nExamples:\n"
               "  changeover replay traffic.har --plan plans/own.yaml\n"
               "  changeover replay traffic.har --plan plans/own.yaml --host shop.example\n"
               "  changeover replay requests.jsonl --plan plans/own.yaml --env testing --unsafe\n"
               "\b\nA line of JSON lines is {\"method\": \"GET\", \"path\": \"/a?b=c\", "
               "\"headers\": {…}, \"body\": \"…\"}.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--plan", "plan_file", type=click.Path(dir_okay=False, path_type=Path),
              required=True, help="Plan with both systems and the rules.")
@environment_option
@click.option("--concurrency", default=4, show_default=True, type=click.IntRange(1, 200))
@click.option("--host", "hosts", multiple=True, metavar="HOST",
              help="Of a browser's recording: replay what went to this host. Default: the host of "
                   "the first request that was not sent on elsewhere.")
@click.option("--unsafe", is_flag=True, help="Replay POST, PUT, PATCH and DELETE, too.")
@output_option
def replay_command(
    file: Path, plan_file: Path, environment: str | None, concurrency: int,
    hosts: tuple[str, ...], unsafe: bool, output: str,
) -> int:
    """Send recorded traffic to both systems and compare their answers (exit code 1: they differ).

    A system that does not answer differs, also from one that does not answer either. Of a
    browser's recording only what went to the recorded host is sent; the rest is counted.
    This is how a candidate is validated before it sees a user.
    """
    import asyncio

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from changeover.shadow import replay

    plan = load_plan(plan_file, environment)
    recorded, skipped = replay.load(file, with_unsafe=unsafe, hosts=hosts)
    with Progress(
        "{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as progress:
        bar = progress.add_task("replaying", total=len(recorded))
        batch, left_out = asyncio.run(replay.run(
            plan, recorded, concurrency=concurrency, on_done=lambda: progress.advance(bar)))
    with replay.scratch_store(plan) as store:
        comparisons.write(store, plan.migration, batch, {
            "seen": len(recorded) + skipped.total(), **skipped, **left_out,
            "no answer from the baseline": sum(not replay.has_baseline(one) for one in batch),
        })
        known = scores.collect(store, plan.migration)
    show(output, as_text(known, 20), known.as_data())
    return 0 if known.match_rate == 1 else EXIT_FAILED


def as_text(known: Findings, limit: int) -> str:
    """Return the findings for people."""
    counts = dict(known.coverage)
    compared, rate = counts.pop("compared", 0), known.match_rate
    if rate is None:
        return "nothing was compared yet; " + (_told(counts) or "nothing was seen")
    lines = [f"{compared} answers compared, {rate:.2%} match ({_told(counts)})"]
    if known.latency:
        lines.append("median of the same requests: baseline {:.1f} ms, candidate {:.1f} ms".format(
            *(seconds * 1000 for seconds in known.latency)))
    for each in known.findings[:limit]:
        lines += ["", f"{each.verdict.judgement}: {each.place.field}  {each.verdict.reason}"]
        lines += [
            f"  {example['request']} {example['path']}: {example['baseline'] or 'missing'} → "
            f"{example['candidate'] or 'missing'}" for example in each.place.examples[:2]
        ]
        if each.place.ignored:
            lines.append(f"  ignored in {each.place.ignored} answers")
        lines += [*(f"  rule {rule}" for rule in each.rules), f"  {each.suggestion}"]
    left = len(known.findings) - limit
    return "\n".join([*lines, *([f"\nand {left} further places"] if left > 0 else [])])


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))
