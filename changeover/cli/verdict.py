"""Verdicts: what each gate found, and the same again from the stored numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from changeover.analysis.check_words import (
    evidence_text,
    gate_word,
    group_text,
    interval_text,
    outlook_text,
)
from changeover.cli.bars import spinner
from changeover.cli.common import Session, anywhere_command
from changeover.domain.rollout import GateVerdict
from changeover.errors import EXIT_FAILED, InvalidInput
from changeover.plan.subsets import in_words
from changeover.store import cutovers, verdicts

if TYPE_CHECKING:
    from changeover.procedures.recompute import Recomputed

_COLUMNS = (
    "verdict", "metric", "bound",
    "candidate", "baseline", "95 %", "evidence")


@click.command(epilog="\b\nExamples:\n  changeover verdict\n  changeover verdict 12\n"
                      "  changeover verdict 12 --recompute")
@click.argument("number", metavar="[ID]", type=int, required=False)
@click.option("--recompute", "is_recomputed", is_flag=True,
              help="Reach it again from the stored numbers; exit code 1 when anything differs.")
@anywhere_command
def verdict(session: Session, number: int | None, is_recomputed: bool) -> int:
    """Show a gate's verdict with its numbers; without ID, all verdicts of the newest cutover."""
    if number is None:
        _list(session)
        return 0
    found = verdicts.get(session.site.store, number)
    if found is None:
        raise InvalidInput(
            f"there is no verdict {number}",
            next_step="Run `changeover verdict` to list them")
    known, sums = found
    if not is_recomputed:
        session.show(_text(known), _data(known))
        return 0
    # numpy takes long to import, and no other command needs it
    from changeover.procedures.recompute import recompute

    with spinner("reaching it again", is_hidden=session.output == "json"):
        again = recompute(known, sums)
    return _show_recomputed(session, known, again)


def _list(session: Session) -> None:
    site = session.site
    cutover = cutovers.latest(site.store, site.migration)
    known = verdicts.all_of(site.store, cutover.id) if cutover else []
    lines = []
    for each in known:
        when = f"{each.id:>5} {each.at:%Y-%m-%d %H:%M:%S}"
        where = f"{each.stage:<12} {each.gate:<12}"
        lines.append(f"{when} {where} {each.verdict}: {each.reason}")
    text = "\n".join(lines) or "no gate has been judged yet"
    session.show(text, [_data(each) for each in known])


def _show_recomputed(
    session: Session, known: GateVerdict, found: Sequence[Recomputed]
) -> int:
    """Print what came out again; the exit code says whether it is the same."""
    # a check that cannot be reached again is no difference: `again` is None then
    is_other = any(each.problem and each.again is not None for each in found)
    out = "comes out differently" if is_other else "comes out the same"
    head = f"verdict {known.id} ({known.gate} of {known.stage}) {out}"
    lines = [head]
    for each in found:
        what = each.problem or _same(each)
        lines.append(f"  {each.metric}: {what}")
    checks = [asdict(each) for each in found]
    data = {"id": known.id, "is_same": not is_other, "checks": checks}
    session.show("\n".join(lines), data)
    return EXIT_FAILED if is_other else 0


def _same(found: Recomputed) -> str:
    """Say that a check came out the same, and from what."""
    external = found.stored.get("external")
    if not external:
        return "the same, to the last bit"
    own = external["own"]
    # what a source says now is about another time
    said = f"what source {own['source']} said at {own['asked_at'][:19]} UTC"
    return f"the same, to the last bit, by {said}; it is not asked again"


def _text(known: GateVerdict) -> str:
    rows: list[tuple[str, ...]] = [_COLUMNS]
    rows += [_row(each) for each in known.evidence]
    word = gate_word(known.verdict, known.evidence)
    when = f"{known.at:%Y-%m-%d %H:%M:%S} UTC"
    head = f"gate {known.gate} of {known.stage}: {word}, {when}"
    lines = [head, f"{known.reason}.", ""]
    lines += _aligned(rows)
    lines += _said(known)
    return "\n".join(lines)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows as lines whose columns stand below each other."""
    widths = []
    for column in zip(*rows, strict=True):
        widths.append(max(len(cell) for cell in column))
    lines = []
    for row in rows:
        pairs = zip(row, widths, strict=True)
        cells = [cell.ljust(width) for cell, width in pairs]
        lines.append("  ".join(cells).rstrip())
    return lines


def _said(known: GateVerdict) -> list[str]:
    """Return what external sources said, when, and what they were asked; the same only once."""
    found = []
    for check in known.evidence:
        for said in (check.get("external") or {}).values():
            if said is not None:
                found.append(_reading(str(check["metric"]), said))
    # two checks may read the same value
    return list(dict.fromkeys(found))


def _reading(metric: str, said: dict[str, Any]) -> str:
    found = said["problem"] or _value(said["value"], said["samples"])
    asked = f"asked at {said['asked_at'][:19]} UTC"
    # a source may answer with a value of an earlier minute
    if said["measured_at"]:
        asked += f", measured at {said['measured_at'][:19]}"
    head = f"{metric} of {said['system']}: source {said['source']}"
    return f"\n{head}, {asked}: {found}\n  {said['query']}"


def _row(check: dict[str, Any]) -> tuple[str, ...]:
    evidence = "by the two values"
    if "external" in check:
        source = check["external"]["own"]["source"]
        evidence = f"by source {source}"
    if "by_minutes" in check:
        found = check["by_minutes"]["classification"]
        evidence = f"by single minutes: {found}"
    beside = [
        evidence_text(check) or evidence,
        outlook_text(check), group_text(check)]
    metric = f"{check['metric']}{in_words(check.get('subset'))}"
    candidate = _value(check.get("value"), check.get("samples"))
    baseline = _value(
        check.get("baseline_value"), check.get("baseline_samples"))
    return (
        str(check["verdict"]), metric, str(check["bound"]),
        candidate, baseline, interval_text(check) or "–",
        "; ".join(filter(None, beside)))


def _value(value: float | None, samples: int | None) -> str:
    # a check of one system alone has nothing of the other
    if samples is None:
        return "–"
    shown = "no data" if value is None else f"{value:.6g}"
    return f"{shown} in {samples}"


def _data(known: GateVerdict) -> dict[str, Any]:
    return asdict(known)
