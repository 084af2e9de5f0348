"""`changeover plan estimate`: how soon a plan's gates would tell, before the night."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from changeover import clock
from changeover.cli import completing
from changeover.cli.bars import bar
from changeover.cli.common import (
    FILE,
    Session,
    environment_option,
    home_option,
    migration_option,
    output_option,
    pass_session,
)
from changeover.errors import InvalidInput
from changeover.plan.conditions import CheckSpec
from changeover.plan.load import load_plan
from changeover.plan.metrics import METRICS
from changeover.plan.subsets import in_words, route_of_subset
from changeover.plan.units import format_duration, parse_share

if TYPE_CHECKING:
    from changeover.analysis.sequential.forecast import Habits
    from changeover.procedures.estimate import Estimate

_NOTHING_COMPARED = (
    "no check of this plan compares users with the baseline "
    "in a stage that has some on each side; "
    "absolute bounds need their min_samples only")


def _share(context: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        found = parse_share(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if not 0 < found < 1:
        raise click.BadParameter(f"{value} is outside 0% to 100%")
    return found


def _shares(
    context: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, float]:
    found = {}
    for value in values:
        name, is_said, share = value.partition("=")
        if not is_said:
            raise click.BadParameter(f"{value} is no NAME=SHARE, as beta=5%")
        found[name] = _share(context, parameter, share)
    return found


@click.command(epilog="\b\nExamples:\n"
                      "  changeover plan estimate plans/invoices.yaml --rate 200 --users 2000\n"
                      "  changeover plan estimate plans/own.yaml --rate 200 --segment beta=5%\n"
                      "  changeover plan estimate plans/own.yaml --rate 200 --route orders=20%\n"
                      "  changeover plan estimate plans/invoices.yaml   # as it was measured")
@click.argument("file", type=FILE)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True),
              help="Requests a second of all users; default: as they were measured.")
@click.option("--users", type=click.IntRange(1, 10_000_000), default=2000, show_default=True,
              help="How many users there are, with --rate.")
@click.option("--usual", default="0.1%", show_default=True, callback=_share,
              help="Usual share of bad requests, with --rate.")
@click.option("--segment", "segments", multiple=True, callback=_shares, metavar="NAME=SHARE",
              shell_complete=completing.segments,
              help="Share of the users in a segment that a check is about, with --rate.")
@click.option("--route", "routes", multiple=True, callback=_shares, metavar="NAME=SHARE",
              help="Share of the requests in a route that a check is about, with --rate.")
@click.option("--times", type=click.FloatRange(min=1, min_open=True), default=5,
              show_default=True, help="Harm to look for: so many times as many bad requests.")
@click.option("--slower", type=click.FloatRange(min=1, min_open=True), default=1.5,
              show_default=True, help="Harm to look for: answers take so many times as long.")
@environment_option
@home_option
@migration_option
@output_option
@pass_session
def estimate(session: Session, /, file: Path, **said: Any) -> None:
    """Say for each stage how soon its gates would show harm, and whether health would pass."""
    from changeover.procedures.estimate import Harm, cases, estimates, without_estimate

    plan = load_plan(file, session.environment)
    wanted, untold = cases(plan), without_estimate(plan)
    if not wanted:
        session.show("\n".join(untold) or _NOTHING_COMPARED, [])
        return
    # what a person expects goes before what was measured
    habits_of = _stated(said) if said["rate"] else _measured(session)
    harm, found = Harm(said["times"], said["slower"]), []
    is_hidden = session.output == "json"
    with bar("drawing futures", len(wanted), is_hidden=is_hidden) as advance:
        for each in estimates(plan, habits_of, harm):
            found.append(each)
            advance(1)
    text = "\n".join([*_lines(found), *untold])
    session.show(text, [_data(each) for each in found])


def _stated(said: dict[str, Any]) -> Callable[[CheckSpec], Habits]:
    from changeover.analysis.sequential.forecast import stated

    def habits(check: CheckSpec) -> Habits:
        quantile = METRICS[check.metric].quantile
        # of a quantile the usual share is known: of ten answers one is slower than the p90
        share = said["usual"] if quantile is None else 1 - quantile
        part = _part(check, said)
        # any user may ask for a route; a small segment of few users still has somebody in it
        is_of_users = check.segment is not None
        users = max(1, round(said["users"] * part)) if is_of_users else said["users"]
        return stated(said["rate"] * part, users, share)

    return habits


def _part(check: CheckSpec, said: dict[str, Any]) -> float:
    """Return the share of all requests that a check is about.

    Raises:
        InvalidInput: It is about a segment or a route of which nothing was said.
    """
    if check.subset is None:
        return 1.0
    route = route_of_subset(check.subset)
    option, name = ("route", route) if route else ("segment", check.segment)
    if name is None or name not in said[f"{option}s"]:
        what = f"{check.measured.name}{in_words(check.subset)}"
        many = "requests" if route else "users"
        raise InvalidInput(
            f"a check is about {what}, and nobody said how many {many} that are",
            where=f"--{option}", allowed=f"{name}=SHARE, as {name}=5%")
    share: float = said[f"{option}s"][name]
    return share


def _measured(session: Session) -> Callable[[CheckSpec], Habits]:
    """Return what the buckets did in the last days, while everyone was on the baseline."""
    from changeover.analysis.sequential.counters import counters_of
    from changeover.analysis.sequential.forecast import measured
    from changeover.analysis.sequential.slow import condition_of, is_timed
    from changeover.store import slices

    site = session.site
    past = site.bucket_sums.past(clock.now())
    known = slices.slow_bounds(site.store, site.migration)
    bounds = {each.condition: each for each in known}

    def habits(check: CheckSpec) -> Habits:
        # what counts as slow is frozen at the first traffic: before that, nothing was counted
        is_known = not is_timed(check) or condition_of(check) in bounds
        counts = None
        if is_known:
            counts = past.counts(*counters_of(check, bounds))
        if counts is None or not counts.requests.any():
            what = f"{check.measured.name}{in_words(check.subset)}"
            options = "--rate REQUESTS_A_SECOND --users NUMBER"
            raise InvalidInput(
                f"nothing was measured yet for {what}",
                next_step=f"Say what to expect: {options}")
        return measured(counts, past.end - past.start)

    return habits


def _lines(found: list[Estimate]) -> list[str]:
    lines = []
    for each in found:
        seen = each.forecast
        half, most = _time(seen.half), _time(seen.most)
        harm = f"harm is shown after {half} in half, {most} in 80 %"
        health = f"health passes by the soak's end in {seen.passed:.0%}"
        lines.append(f"{each.stage.title}, gate {each.gate}: {each.bound}")
        lines.append(f"  {harm}; {health}")
        if each.warning:
            lines.append(f"  WARNING: {each.warning}")
    return lines


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "more than the soak"
    return format_duration(timedelta(seconds=round(seconds)))


def _data(each: Estimate) -> dict[str, Any]:
    seen = each.forecast
    return {
        "stage": each.stage.key, "gate": each.gate, "check": each.bound,
        "half_seconds": seen.half, "most_seconds": seen.most,
        "found": seen.found, "passed": seen.passed,
        "warning": each.warning,
    }
