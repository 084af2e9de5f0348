"""The daily summary as a page, and as the few lines of a message. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from changeover.domain.health import Status
from changeover.domain.messages import Severity
from reports import differences, text
from reports.daily.model import DailySummary, Waiting
from reports.daily.rules import severity
from reports.model import Figures, Moment
from reports.page import Items, Look, Page, Part, Section, Text, Tile, table
from reports.sections import TRIGGER_HEAD, firing_cells, trigger_cells

MOST_SAID = 8
"""Lines of a kind in a message: it is read on a telephone."""
_COMPARED = ("error_rate", "user_error_rate", "latency_p50", "latency_p95", "latency_p99",
             "request_rate", "up", "memory")
_HEALTH_LOOKS: dict[str, Look] = {
    "healthy": "good", "warning": "warn", "unhealthy": "bad", "critical": "bad", "error": "bad"}


def page(day: DailySummary) -> Page:
    """Return the summary as a page."""
    urgent = severity(day) is not Severity.INFO
    return Page(
        kind="daily", migration=day.migration, subject=f"the day until {text.moment(day.end)}",
        look="warn" if urgent else "good", title=title(day), sentence=day.headline.sentence,
        facts=tuple(_facts(day)), tiles=_tiles(day), sections=tuple(_sections(day)),
        systems=dict(day.systems), generated_at=day.generated_at,
        version=day.changeover_version,
    )


def title(day: DailySummary) -> str:
    """Return the summary in a few words: what a person looks at first."""
    parts = []
    if day.waiting:
        parts.append(f"{text.counted(len(day.waiting), 'thing')} waiting for people")
    ill = sum(_HEALTH_LOOKS[each.status] == "bad" for each in day.health)
    if ill:
        parts.append(f"{text.counted(ill, 'health check')} not good")
    if day.firings:
        parts.append(f"{text.counted(len(day.firings), 'trigger firing')}")
    if day.new_differences:
        parts.append(f"{text.counted(len(day.new_differences), 'new divergence')}")
    return f"{day.headline.word}: {', '.join(parts)}" if parts else \
        f"{day.headline.word}, nothing needs you"


def _facts(day: DailySummary) -> Iterator[tuple[str, str]]:
    yield "Covers", text.span(day.start, day.end)
    yield "Routing now", day.routing
    if progress := day.progress:
        yield "Stage", f"{progress.stage}, {progress.done} of {progress.of} done"
        if progress.next:
            when = f" at {text.moment(progress.next_at)}, if its gates pass" \
                if progress.next_at else ""
            yield "Next", f"{progress.next}{when}"


def _tiles(day: DailySummary) -> tuple[Tile, ...]:
    saw, before = _user_errors(day.figures), _user_errors(day.figures_before)
    tiles = [Tile(
        "errors that users saw", text.count(saw[0]),
        f"of {text.counted(saw[1], 'request')}; {text.count(before[0])} the time before")]
    if day.figures:
        baseline, candidate = day.figures
        for metric, label in (("error_rate", "failed by the candidate"),
                              ("latency_p95", "p95 of the candidate")):
            tiles.append(Tile(
                label, text.metric(metric, candidate.value(metric)),
                f"baseline {text.metric(metric, baseline.value(metric))}"))
    tiles.append(Tile("waiting for people", text.count(len(day.waiting)), _longest(day.waiting)))
    if day.compared is not None:
        number, matched = day.compared
        tiles.append(Tile(
            "answers that match", text.share(matched / number if number else None),
            f"{text.counted(day.regressions, 'regression')}"))
    return tuple(tiles)


def _longest(waiting: tuple[Waiting, ...]) -> str:
    if not waiting:
        return "nothing"
    return f"longest for {text.duration(max(each.seconds for each in waiting))}"


def _user_errors(figures: tuple[Figures, ...]) -> tuple[int, int]:
    windows = [each.window for each in figures]
    return sum(each.user_errors for each in windows), sum(each.requests for each in windows)


def _sections(day: DailySummary) -> Iterator[Section]:
    yield Section("waits", "What waits for people", (_waits(day.waiting),))
    yield Section("changes", "What changed", tuple(_changes(day)))
    yield Section("numbers", "Numbers, with the time before", (_numbers(day),))
    yield Section("health", "Health", tuple(_health(day)))
    if day.compared is not None:
        yield Section("divergences", "Divergences new in this time", tuple(_divergences(day)))
    if day.firings:
        head = ("Trigger", "Action", "Reason", "Evidence complete", "Gateway confirmed after")
        fired = table(head, map(firing_cells, day.firings))
        yield Section("fired", "Triggers that fired", (fired,))
    if day.triggers:
        stand = table(TRIGGER_HEAD, map(trigger_cells, day.triggers))
        yield Section("triggers", "How the triggers stand", (stand,))


def _waits(waiting: tuple[Waiting, ...]) -> Part:
    if not waiting:
        return Text("Nothing waits for a person.", "good")
    return Items(tuple(Text(said(each), "warn") for each in waiting))


def said(each: Waiting) -> str:
    """Return what waits in a sentence, with who may answer and who has agreed."""
    lasting = f"{each.what}, for {text.duration(each.seconds)}"
    parts = [text.one_line(lasting)]
    if each.may:
        parts.append(f"who may answer: {each.may}")
    if each.agreed:
        parts.append(f"agreed: {', '.join(each.agreed)}")
    return "; ".join(parts)


def _changes(day: DailySummary) -> Iterator[Part]:
    if day.changes:
        looks: dict[str, Look] = {"plain": "plain", "good": "good", "warn": "warn", "bad": "bad"}
        yield Items(tuple(Text(_change(each), looks[each.tone]) for each in day.changes[-60:]))
    else:
        yield Text("Nothing was decided or changed.")
    if len(day.changes) > 60:
        yield Text(f"and {len(day.changes) - 60} before them, which are in the JSON report")
    if day.more_changes:
        yield Text(f"Besides: {text.counted(day.more_changes, 'event')} of routine "
                   "(`changeover history` has all).")


def _change(moment: Moment) -> str:
    times = f" ({moment.count} times)" if moment.count > 1 else ""
    detail = f": {moment.detail}" if moment.detail else ""
    return f"{moment.at:%d %b %H:%M} {moment.title}{times}, by {moment.actor}{detail}"


def _numbers(day: DailySummary) -> Part:
    if not day.figures:
        return Text("Nothing was measured.")
    baseline, candidate = day.figures
    before = {each.system: each for each in day.figures_before}
    columns = (baseline, before["baseline"], candidate, before["candidate"])
    rows = [("requests", *(text.count(each.window.requests) for each in columns))]
    for metric in _COMPARED:
        rows.append((
            text.metric_words(metric),
            *(text.metric(metric, each.value(metric)) for each in columns)))
    head = ("Measured", "baseline", "before", "candidate", "before")
    return table(head, rows)


def _health(day: DailySummary) -> Iterator[Part]:
    if not day.health:
        yield Text("No health check was made: is the `health-check` flow scheduled?", "warn")
        return
    rows = []
    for each in day.health:
        sign = text.SIGNS[_HEALTH_LOOKS[each.status]]
        rows.append((
            f"{sign} {each.status}", each.check, text.one_line(each.detail), each.worst,
            f"{text.count(each.not_good)} of {text.count(each.checked)}"))
    yield table(("Now", "Check", "What it says", "Worst", "Not good"), rows)


def _divergences(day: DailySummary) -> Iterator[Part]:
    if not day.new_differences:
        yield Text("No place differs that did not differ before.", "good")
        return
    yield table(
        differences.PLACE_HEAD, map(differences.place_cells, day.new_differences), most=30)


def message(day: DailySummary, *, url: str = "") -> tuple[str, str]:
    """Return the title and the body of the message that is sent.

    Args:
        day: The summary.
        url: Where the report with charts is served; empty when it is not.
    """
    lines = [day.headline.sentence]
    if progress := day.progress:
        lines.append(f"Stages: {progress.done} of {progress.of} done; now {progress.stage}.")
        if progress.next and progress.next_at:
            lines.append(f"Next: {progress.next} at {text.moment(progress.next_at)}, "
                         "if its gates pass.")
    saw = _user_errors(day.figures)
    lines.append(f"Users saw {text.counted(saw[0], 'error')} in "
                 f"{text.counted(saw[1], 'request')}.")
    if day.figures:
        baseline, candidate = day.figures
        lines.append("p95: " + ", ".join(
            f"{each.system} {text.metric('latency_p95', each.value('latency_p95'))}"
            for each in (baseline, candidate)) + ".")
    lines += _listed("Waits", [said(each) for each in day.waiting])
    lines += _listed("Changed", [_change(each) for each in day.changes])
    ill = [f"{each.check} {each.status}: {text.one_line(each.detail)}" for each in day.health
           if each.status != Status.HEALTHY]
    lines += _listed("Health", ill) or ["Health: every check is good."]
    lines += _listed("New divergences", [
        f"{each.place.field}: {each.verdict.judgement}, {each.suggestion}"
        for each in day.new_differences])
    if url:
        lines.append(f"The report: {url}")
    return f"{day.migration}, {day.day}: {title(day)}", "\n".join(lines)


def _listed(name: str, sentences: list[str]) -> list[str]:
    """Return a heading with the newest sentences below it; nothing without any."""
    if not sentences:
        return []
    shown = [f"- {each}" for each in sentences[-MOST_SAID:]]
    left = len(sentences) - len(shown)
    more = [f"- and {left} more in the report"] if left else []
    return [f"{name}:", *shown, *more]
