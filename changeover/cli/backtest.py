"""`changeover backtest`: what another plan would have decided, by what is kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING

import click

from changeover import clock
from changeover.cli.bars import several
from changeover.cli.common import FILE, Session, environment_option, shared_option, site_command
from changeover.errors import EXIT_FAILED, EXIT_OK
from changeover.plan.units import parse_duration

if TYPE_CHECKING:
    from rich.table import Table

    from changeover.analysis.backtest.found import Backtest, Evaluation, Fired, TriggerAgain

MOST_SHOWN = 5
"""Firings of a trigger that are shown with their time; JSON has all."""


def _since(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    try:
        found = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if found <= timedelta(0):
        raise click.BadParameter(f"{value} is no time; give how far to look back, as 14d")
    return found


@click.command(epilog="\b\nExamples:\n"
                      "  changeover backtest --plan plans/stricter.yaml\n"
                      "  changeover backtest --plan plans/stricter.yaml --since 180d\n"
                      "  changeover backtest --plan plans/stricter.yaml --json > found.json\n"
                      "\b\nExit codes: 0 nothing would have been decided otherwise, 1 something "
                      "would, 2 wrong input\n(another migration's plan, nothing measured since "
                      "then), 5 the store cannot be used.")
@shared_option("--plan", "plan_file", type=FILE, required=True,
               help="The plan that is asked: a changed copy of the one that runs.")
@click.option("--since", default="14d", show_default=True, callback=_since,
              help="How far to look back.")
@click.option("--json", "is_json", is_flag=True, help="The same as --output json.")
@environment_option
@site_command
def backtest(session: Session, since: timedelta, is_json: bool) -> int:
    """Say what another plan's gates and triggers would have decided, by what is kept.

    Each stored verdict, what fired while users were on the candidate, and false alarms while
    everyone was on the baseline. What cannot be evaluated is listed with the reason.
    """
    # numpy takes long to import, and no other command needs it
    from changeover.procedures.backtest.run import Asked
    from changeover.procedures.backtest.run import backtest as run

    # `--json` is what people type by habit
    if is_json:
        session.output = "json"
    plan = session.load_plan()
    now = clock.now()
    with several(is_hidden=session.output == "json") as progress:
        asked = Asked(plan, now - since, now)
        found = run(session.site, asked, progress)
    session.show(_text(found), found.document())
    return EXIT_FAILED if found.is_other else EXIT_OK


def _text(found: Backtest) -> str:
    """Return what was found for people."""
    parts = [_head(found)]
    if found.evaluations:
        parts.append(_drawn(_verdicts(found.evaluations)))
    if found.triggers:
        parts.append(_drawn(_triggers(found.triggers)))
    if found.healthy:
        parts.append(_drawn(_healthy(found)))
    if found.unknown:
        lines = [f"  {each.what}: {each.why}" for each in found.unknown]
        parts.append("\n".join(["Cannot be evaluated:", *lines]))
    parts.append(_summary(found))
    return "\n\n".join(parts)


def _head(found: Backtest) -> str:
    since, until = f"{found.since:%Y-%m-%d %H:%M}", f"{found.until:%Y-%m-%d %H:%M}"
    users = f"{_time(found.on_users_days)} with users on the candidate"
    nobody = f"{_time(found.healthy_days)} with everyone on the baseline"
    return f"{found.migration} from {since} to {until} UTC: {users}, {nobody}"


def _time(days: float) -> str:
    """Return measured time for people."""
    if days >= 1:
        return f"{days:.1f} days"
    return f"{days * 24:.1f} hours"


def _table(title: str, *columns: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for each in columns:
        table.add_column(each, overflow="fold")
    return table


def _drawn(table: Table) -> str:
    from rich.console import Console
    file = StringIO()
    # not narrower than 80: columns of single letters say nothing
    width = max(80, shutil.get_terminal_size((140, 40)).columns)
    is_terminal = sys.stdout.isatty()
    console = Console(file=file, width=width, force_terminal=is_terminal)
    console.print(table)
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    return "\n".join(lines).strip("\n")


def _verdicts(evaluations: Iterable[Evaluation]) -> Table:
    table = _table(
        "Gates: what was judged, and what this plan would have said",
        "stage", "gate and check", "then", "this plan", "why")
    for each in evaluations:
        stage = f"{each.stage} of cutover {each.cutover_id}"
        when = f"[b]{each.at:%Y-%m-%d %H:%M:%S}[/b]"
        then, now = each.then_words, each.now_words
        table.add_row(
            stage, when, then, _marked(now, then),
            "what follows", end_section=False)
        for gate in each.gates:
            # what came out the same needs no reason, unless no check of the gate says it
            is_telling = gate.now != gate.then or not gate.checks
            why = gate.reason if is_telling else ""
            now = _marked(gate.now or "–", gate.then)
            table.add_row("", gate.gate, gate.then or "–", now, _plain(why))
            for check in gate.checks:
                why = f"{check.change}: {check.reason} ({check.basis})"
                now = _marked(check.now or "–", check.then)
                name = f"  {check.check}"
                table.add_row("", name, check.then or "–", now, _plain(why))
    return table


def _marked(now: str, then: str | None) -> str:
    return now if now == then else f"[b]{now}[/b]"


def _plain(text: str) -> str:
    # a text with `[brackets]` would be read as a style
    from rich.markup import escape

    return escape(text)


def _triggers(triggers: Iterable[TriggerAgain]) -> Table:
    table = _table(
        "Triggers", "trigger", "with users on the candidate: then",
        "this plan", "false alarms at the baseline")
    for each in triggers:
        # None: alarms cannot be counted, `how` says why
        alarms = each.how or "–"
        if each.false_alarms is not None:
            alarms = _alarms(each)
        head = f"[b]{each.trigger}[/b] ({each.change}, {each.action})"
        if each.condition:
            head += f"\n{_plain(each.condition)}"
        now = "unknown" if each.now is None else _fired(each.now)
        table.add_row(head, _fired(each.then), now, alarms)
    return table


def _alarms(each: TriggerAgain) -> str:
    rate = each.false_alarms_per_day
    if rate is None:
        return "no such time"
    alarms = each.false_alarms or ()
    shown = f"{len(alarms)} in {_time(each.healthy_days)}, {rate:.2g} a day"
    if each.fired_at_baseline:
        shown += f" (fired {each.fired_at_baseline} times then)"
    lines = [shown, *_lines(alarms)]
    if each.how:
        lines.append(each.how)
    return "\n".join(lines)


def _fired(found: Sequence[Fired]) -> str:
    return "\n".join(_lines(found)) or "never"


def _lines(found: Sequence[Fired]) -> list[str]:
    lines = []
    for each in found[:MOST_SHOWN]:
        lines.append(f"{each.at:%m-%d %H:%M:%S} {_plain(each.reason)}")
    left = len(found) - MOST_SHOWN
    if left > 0:
        lines.append(f"and {left} more")
    return lines


def _healthy(found: Backtest) -> Table:
    table = _table(
        "Asked about times at the baseline, as long as each stage's soak",
        "stage", "of", "check", "soaks looked at",
        "failed: false alarms", "passed", "inconclusive", "how")
    for each in found.healthy:
        rest = each.soaks - each.failed - each.passed
        counts = each.soaks, each.failed, each.passed, rest
        table.add_row(
            each.stage, each.gate, each.check, *map(str, counts), each.how)
    return table


def _summary(found: Backtest) -> str:
    others = sum(each.is_other for each in found.evaluations)
    triggers = sum(each.is_other for each in found.triggers)
    what = "Nothing would have been decided otherwise"
    if found.is_other:
        gates = f"{others} of {len(found.evaluations)} evaluations of stages"
        rules = f"{triggers} of {len(found.triggers)} triggers"
        what = f"{gates} and {rules} would have come out otherwise"
    alarms = sum(len(each.false_alarms or ()) for each in found.triggers)
    time = f"{_time(found.healthy_days)} at the baseline"
    # with no such time there is no rate
    if found.healthy_days:
        time += f", {alarms / found.healthy_days:.2g} a day"
    raised = f"its triggers would have raised {alarms} false alarms in {time}"
    lines = [f"{each}." for each in found.cutovers]
    lines.append(f"{what}; {raised}.")
    return "\n".join(lines)
