"""Lessons learned as a page. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from reports import text
from reports.lessons.model import Lessons, Near
from reports.lessons.near import NEARLY
from reports.model import Moment
from reports.page import Bar, Bars, Items, Look, Page, Part, Section, Text, Tile, table
from reports.sections import firing_cells

MOST_BARS = 24
_LOOKS: dict[str, Look] = {
    "promoted": "good", "rolled_back": "bad", "failed": "bad", "stopped": "warn"}


def page(data: Lessons) -> Page:
    """Return the report as a page."""
    headline = data.headline
    return Page(
        kind="lessons", migration=data.migration, subject=f"cutover {data.cutover.id}",
        look=_LOOKS.get(headline.status, "plain"), title=f"Lessons learned: {headline.word}",
        sentence=headline.sentence,
        facts=(
            ("Decided by", ", ".join(headline.decided_by) or "the gates; nobody was asked"),
            ("Began", text.moment(headline.started_at)), ("Ended", text.moment(headline.ended_at)),
            ("Took", text.duration(headline.seconds)),
        ),
        tiles=_tiles(data), sections=tuple(_sections(data)), systems=dict(data.systems),
        generated_at=data.generated_at, version=data.changeover_version,
    )


def _tiles(data: Lessons) -> tuple[Tile, ...]:
    total = sum(stage.seconds for stage in data.stages)
    people = sum(stage.people_seconds for stage in data.stages)
    soak = sum(stage.soak_seconds for stage in data.stages)
    nearly = [each for each in data.near if each.share >= NEARLY and not each.fired]
    return (
        Tile("soaked as planned", text.duration(soak), f"of {text.duration(total)} in stages"),
        Tile("waited for people", text.duration(people), _percent(people, total)),
        Tile("fired or failed", text.count(sum(each.fired for each in data.near)),
             f"of {len(data.near)} that had data"),
        Tile("nearly fired", text.count(len(nearly)), f"{NEARLY:.0%} of the way or more"),
        Tile("changed their mind", text.count(len(data.flaky)), "checks of gates"),
    )


def _percent(part: float, total: float) -> str:
    return f"{part / total:.0%} of the time in stages" if total else "no time in stages"


def _sections(data: Lessons) -> Iterator[Section]:
    yield Section("advice", "For the next plan", tuple(_advice(data)))
    yield Section("times", "Where the time went", (_times(data),))
    yield Section("near", "What nearly fired", tuple(_near(data)))
    yield Section("flaky", "Gates that changed their mind", (_flaky(data),))
    if data.firings:
        head = ("Trigger", "Action", "Reason", "Evidence complete", "Gateway confirmed after")
        yield Section("fired", "Triggers that fired",
                      (table(head, map(firing_cells, data.firings)),))
    yield Section("timeline", "The decisions", (_timeline(data.timeline),))


def _advice(data: Lessons) -> Iterator[Part]:
    if not data.advice:
        yield Text("Nothing follows from what was measured so far.")
        return
    yield Text("Each follows from the numbers beside it by a fixed rule; people decide.")
    rows = [(each.text, each.reason, each.rule) for each in data.advice]
    yield table(("What to do", "Because", "Rule"), rows)


def _times(data: Lessons) -> Part:
    rows = []
    for stage in data.stages:
        rows.append((
            stage.title, text.status(stage.status), text.duration(stage.seconds),
            text.duration(stage.soak_seconds), text.duration(stage.people_seconds),
            text.duration(stage.paused_seconds), text.duration(stage.other_seconds),
            f"{stage.rounds}, {stage.rechecks}"))
    head = ("Stage", "State", "In it", "Soak", "Waited for people", "Paused", "Other",
            "Soaks, judged again")
    return table(head, rows)


def _near(data: Lessons) -> Iterator[Part]:
    if data.near:
        yield Text("0 % is as good as can be, 100 % is the bound. Triggers are measured by the "
                   "minute or hour, so that a shorter peak may have been nearer.")
        yield Bars(tuple(_bar(each) for each in data.near[:MOST_BARS]))
    else:
        yield Text("Nothing was measured that has a bound.")
    if data.unseen:
        unseen = [Text(f"{each.watch} {each.name} never had enough data: {each.reason}", "warn")
                  for each in data.unseen]
        yield Items(tuple(unseen))


def _bar(each: Near) -> Bar:
    look: Look = "bad" if each.fired else "warn" if each.share >= NEARLY else "good"
    where = f" in {each.stage}" if each.stage else ""
    fired = "fired" if each.watch == "trigger" else "failed"
    reached = fired if each.fired else f"{each.share:.0%}"
    words = f"{reached}: {each.value}{where}, {text.moment(each.at)} ({each.basis})"
    return Bar(f"{each.watch} {each.name} ({each.bound})", each.share, words, look)


def _flaky(data: Lessons) -> Part:
    if not data.flaky:
        return Text("No check went from pass to fail or back within a stage.", "good")
    rows = []
    for each in data.flaky:
        shown = " ".join(text.SIGNS.get(verdict, "·") for verdict in each.verdicts[-40:])
        rows.append((each.stage, each.gate, each.check, str(each.flips), str(each.lost), shown))
    return table(("Stage", "Gate", "Check", "Pass ↔ fail", "Pass lost", "Verdicts"), rows)


def _timeline(moments: tuple[Moment, ...]) -> Part:
    rows = []
    for each in moments:
        times = f" ({each.count} times)" if each.count > 1 else ""
        rows.append((
            f"{each.at:%Y-%m-%d %H:%M:%S}", f"{text.SIGNS[each.tone]} {each.title}{times}",
            each.actor, each.detail or "–"))
    return table(("Time (UTC)", "What", "By", "Detail"), rows, most=200)
