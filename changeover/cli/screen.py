"""The live screen of `changeover watch`: a picture of a migration, drawn with Rich."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from changeover.cli.picture import Line, Picture
from changeover.cli.printable import printable
from changeover.cli.sparklines import bar, sparkline, top_of
from changeover.domain.rollbacks import Stands
from changeover.site import route_status
from changeover.site.status import numbers_text, refused_text

WIDE = 130
"""Columns from which on two halves stand beside each other."""
BAR = 16
FRESH = 2
"""Steps of a line, ten seconds each, whose value still says something of now."""
NEAR, VERY_NEAR = 0.5, 0.9
"""Part of the way to a trigger's bound from which on a bar is yellow, and red."""
TITLES = {"request_rate": "requests/s", "error_rate": "failed", "latency_p95": "p95"}
DONE = {"promoted": "✓", "skipped": "–", "rolled_back": "✗"}
DONE_ASCII = {"promoted": "+", "skipped": "-", "rolled_back": "x"}


class Screen:
    """Draws one picture, as wide as the terminal is at that moment."""

    def __init__(self, picture: Picture) -> None:
        self._picture, self._status = picture, picture.status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield what is drawn."""
        width, is_ascii = options.max_width, options.ascii_only
        yield self._head()
        yield from self._alarms()
        yield self._rail(is_ascii)
        if width < WIDE:
            yield self._systems(width, is_ascii)
            yield self._triggers(is_ascii)
            yield self._gates()
            return
        half = width // 2 - 2
        both = Table.grid(padding=(0, 3), expand=True)
        both.add_column(width=half)
        both.add_column(ratio=1)
        left = Group(self._systems(half, is_ascii), self._gates())
        both.add_row(left, self._triggers(is_ascii))
        yield both

    def _head(self) -> Text:
        status = self._status
        head = Text(printable(f"{status['migration']}: {status['routing']['text']}"), "bold")
        if cutover := status["cutover"]:
            head.append(f"   cutover {cutover['id']}: {cutover['status']}", "not bold")
        return head

    def _alarms(self) -> Iterator[Text]:
        """Yield what a person must see first, or do."""
        status = self._status
        if status["routing"]["maintenance"]:
            yield _alarm("MAINTENANCE: users get 503")
        if status["freeze"]:
            yield _alarm(f"NOBODY IS MOVED: {status['freeze']}")
        if pause := status["pause"]:
            yield _alarm(f"PAUSED by {pause['actor']} since {pause['at'][:19]}: {pause['reason']}")
        for each in status["ended_runs"]:
            yield _alarm(f"NOBODY CARRIES ON {each['subject']}: {each['text']}")
        if waiting := status["waiting_for"]:
            may = f"; who may: {waiting['may']}" if waiting["may"] else ""
            yield _alarm(f"WAITS for approval of {waiting['stage']}{may}: {waiting['url']}")
        if (group := status["group"]) and group["waits"]:
            yield _alarm(f"WAITS FOR ITS GROUP: {group['waits']}")
        yield from map(_line, route_status.lines(status["routes"]))
        if rollback := status["rollback"]:
            yield _line(f"rollback {rollback['epoch']}: {rollback['status']}, {rollback['reason']}")
        if status["refused"]["reasons"]:
            yield _line(f"gateway: {refused_text(status['refused'])}")

    def _rail(self, is_ascii: bool) -> Text:
        """Return the stages on one line: done, present, to come."""
        known = {each["key"]: each for each in self._status["stages"]}
        signs = DONE_ASCII if is_ascii else DONE
        rail = Text()
        for key in self._picture.stages:
            each = known.get(key)
            if each is None:
                rail.append(f"{key}  ", "dim")
            elif each["status"] in signs:
                rail.append(f"{signs[each['status']]} {key}  ")
            else:
                said = self._picture.soak_text or each["status"]
                rail.append(f"> {key} ({said})  ", "bold reverse")
        return rail

    def _systems(self, width: int, is_ascii: bool) -> RenderableType:
        """Return both systems' lines; those of one metric have the same scale."""
        lines = self._picture.lines
        # a name and a value stand beside each line
        room = max(8, width - 36)
        table = Table.grid(padding=(0, 1))
        for _ in range(4):
            table.add_column(no_wrap=True)
        for metric, title in TITLES.items():
            top = top_of(*(lines[system][metric] for system in lines))
            for number, system in enumerate(lines):
                values = lines[system][metric]
                drawn = sparkline(values, top=top, width=min(room, len(values)), is_ascii=is_ascii)
                name = Text(title if not number else "", "bold")
                style = "cyan" if system == "baseline" else "magenta"
                table.add_row(name, Text(system), Text(drawn, style), Text(_value(metric, values)))
        rows = [_line("")]
        for system, numbers in self._status["systems"].items():
            rows.append(_line(f"{system}: {numbers_text(numbers)}"))
        return Group(*rows, table, _line(""))

    def _triggers(self, is_ascii: bool) -> RenderableType:
        """Return how near each trigger is to firing, as a bar that ends at its bound."""
        table = Table.grid(padding=(0, 1))
        for wraps in (False, False, True):
            table.add_column(no_wrap=not wraps, overflow="fold")
        for each in self._status["triggers"]:
            share = self._picture.near.get(each["trigger"])
            style = _style(share, each["stands"])
            drawn = Text(bar(share, BAR, is_ascii=is_ascii), style)
            stands = "" if each["stands"] == Stands.ARMED else f"{each['stands'].upper()}  "
            said = f"{stands}{each['shown']}; {each['condition']}"
            if each["is_old"]:
                said = f"nobody judges it now; {each['condition']}"
            table.add_row(
                Text(f"{each['trigger']} ({each['action']})"), drawn, Text(printable(said), style))
        return table

    def _gates(self) -> RenderableType:
        """Return what each check of the present stage would say now."""
        rows = []
        for gate in self._status["gates"]:
            for check in gate["checks"]:
                text = f"{gate['gate']}: {check['standing']}: {check['reason']}"
                rows.append(_line(text))
        return Group(*rows)


def _value(metric: str, values: Line) -> str:
    """Return the newest value, with its unit; a dash when nothing was measured of late."""
    # the newest step has perhaps just begun; an older value is no value of now
    known = [value for value in values[-FRESH:] if value is not None]
    if not known:
        return "–"
    newest = known[-1]
    if metric == "request_rate":
        return f"{newest:.1f}"
    if metric == "error_rate":
        return f"{newest:.2%}"
    return f"{newest * 1000:.0f} ms"


def _style(share: float | None, stands: str) -> str:
    if stands in (Stands.FIRING, Stands.HOLDING) or (share or 0) >= VERY_NEAR:
        return "bold red"
    if share is None:
        return "dim"
    return "yellow" if share >= NEAR else "green"


def _alarm(text: str) -> Text:
    return Text(printable(text), "bold yellow")


def _line(text: str) -> Text:
    return Text(printable(text))


def as_line(picture: Picture) -> str:
    """Return a picture as one plain line, for a log."""
    status = picture.status
    parts = [f"{picture.at:%H:%M:%S} {status['migration']}: {status['routing']['text']}"]
    if picture.soak_text and status["stages"]:
        parts.append(f"{status['stages'][-1]['key']} {picture.soak_text}")
    for system, lines in picture.lines.items():
        values = [f"{_value(metric, lines[metric])} {TITLES[metric]}" for metric in TITLES]
        parts.append(f"{system} {', '.join(values)}")
    parts += _worst_trigger(picture)
    if waiting := status["waiting_for"]:
        parts.append(f"WAITS for approval of {waiting['stage']}")
    if status["pause"]:
        parts.append("PAUSED")
    if status["freeze"]:
        parts.append("FROZEN")
    return printable(" | ".join(parts))


def _worst_trigger(picture: Picture) -> list[str]:
    """Return the trigger that is nearest to firing, in words."""
    known: list[Any] = [(share, name) for name, share in picture.near.items() if share is not None]
    if not known:
        return []
    share, name = max(known)
    return [f"nearest trigger {name} at {share:.0%} of its bound"]
