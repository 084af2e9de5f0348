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
from changeover.cli.common import Session, site_command
from changeover.domain.rollout import GateVerdict
from changeover.errors import EXIT_FAILED, InvalidInput
from changeover.plan.subsets import in_words
from changeover.store import cutovers, verdicts

if TYPE_CHECKING:
    from changeover.procedures.recompute import Recomputed


@click.command(epilog="\b\nExamples:\n  changeover verdict\n  changeover verdict 12\n"
                      "  changeover verdict 12 --recompute")
@click.argument("number", metavar="[ID]", type=int, required=False)
@click.option("--recompute", "is_recomputed", is_flag=True,
              help="Reach it again from the stored numbers; exit code 1 when anything differs.")
@site_command
def verdict(session: Session, number: int | None, is_recomputed: bool) -> int:
    """Show a gate's verdict with its numbers; without ID, all verdicts of the newest cutover."""
    if number is None:
        _list(session)
        return 0
    found = verdicts.get(session.site.store, number)
    if found is None:
        raise InvalidInput(
            f"there is no verdict {number}", next_step="Run `changeover verdict` to list them")
    known, sums = found
    if not is_recomputed:
        session.show(_text(known), _data(known))
        return 0
    # numpy takes long to import, and no other command needs it
    from changeover.procedures.recompute import recompute

    return _show_recomputed(session, known, recompute(known, sums))


def _list(session: Session) -> None:
    site = session.site
    cutover = cutovers.latest(site.store, site.migration)
    known = verdicts.all_of(site.store, cutover.id) if cutover else []
    lines = [f"{each.id:>5} {each.at:%Y-%m-%d %H:%M:%S} {each.stage:<12} {each.gate:<12} "
             f"{each.verdict}: {each.reason}" for each in known]
    session.show("\n".join(lines) or "no gate has been judged yet", [_data(each) for each in known])


def _show_recomputed(
    session: Session, known: GateVerdict, found: Sequence[Recomputed]
) -> int:
    """Print what came out again; the exit code says whether it is the same."""
    # a check that cannot be reached again is no difference: `again` is None then
    is_other = any(each.problem and each.again is not None for each in found)
    lines = [f"  {each.metric}: {each.problem or _same(each)}" for each in found]
    head = "comes out differently" if is_other else "comes out the same"
    session.show("\n".join([f"verdict {known.id} ({known.gate} of {known.stage}) {head}", *lines]),
                 {"id": known.id, "is_same": not is_other, "checks": [asdict(e) for e in found]})
    return EXIT_FAILED if is_other else 0


def _same(found: Recomputed) -> str:
    """Say that a check came out the same, and from what."""
    external = found.stored.get("external")
    if not external:
        return "the same, to the last bit"
    own = external["own"]
    return (f"the same, to the last bit, by what source {own['source']} said at "
            f"{own['asked_at'][:19]} UTC; it is not asked again")


def _text(known: GateVerdict) -> str:
    rows: list[tuple[str, ...]] = [
        ("verdict", "metric", "bound", "candidate", "baseline", "95 %", "evidence")]
    rows += [_row(each) for each in known.evidence]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in rows]
    word = gate_word(known.verdict, known.evidence)
    when = f"{known.at:%Y-%m-%d %H:%M:%S} UTC"
    return "\n".join([
        f"gate {known.gate} of {known.stage}: {word}, {when}", f"{known.reason}.", "",
        *table, *_said(known)])


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
    of = f", measured at {said['measured_at'][:19]}" if said["measured_at"] else ""
    return (f"\n{metric} of {said['system']}: source {said['source']}, asked at "
            f"{said['asked_at'][:19]} UTC{of}: {found}\n  {said['query']}")


def _row(check: dict[str, Any]) -> tuple[str, ...]:
    evidence = "by the two values"
    if "external" in check:
        evidence = f"by source {check['external']['own']['source']}"
    if "by_minutes" in check:
        evidence = f"by single minutes: {check['by_minutes']['classification']}"
    beside = [evidence_text(check) or evidence, outlook_text(check), group_text(check)]
    evidence = "; ".join(filter(None, beside))
    metric = f"{check['metric']}{in_words(check.get('subset'))}"
    return (str(check["verdict"]), metric, str(check["bound"]),
            _value(check.get("value"), check.get("samples")),
            _value(check.get("baseline_value"), check.get("baseline_samples")),
            interval_text(check) or "–", evidence)


def _value(value: float | None, samples: int | None) -> str:
    if samples is None:
        return "–"
    return f"{'no data' if value is None else f'{value:.6g}'} in {samples}"


def _data(known: GateVerdict) -> dict[str, Any]:
    return asdict(known)
