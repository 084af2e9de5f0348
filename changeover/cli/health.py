"""`changeover health`: everything that the migration depends on, examined now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from changeover import clock
from changeover.cli.bars import bar
from changeover.cli.common import Session, site_command
from changeover.domain.health import Status
from changeover.errors import EXIT_FAILED, EXIT_OK

_SIGNS = {Status.HEALTHY: "✓", Status.WARNING: "!"}
_GOOD = (Status.HEALTHY, Status.WARNING)
Row = tuple[str, Status, str]


@click.command("health", epilog="\b\nExamples:\n  changeover health\n"
               "  changeover health --output json\n"
               "  changeover health --stored         what the flow `health-check` found last\n"
               "\b\nNothing is repaired and nothing is saved: the flow `health-check` does that.\n"
               "Exit codes: 0 well, or with warnings only; 1 something is not well.")
@click.option("--stored", is_flag=True, help="Show the newest stored results; examine nothing.")
@site_command
def health(session: Session, stored: bool) -> int:
    """Examine everything that the migration depends on; what is not well stands last."""
    at, rows = _stored(session) if stored else _examined(session)
    # no result is not well: nobody knows
    worst = _worst(rows)
    is_good = worst in _GOOD
    session.show(_text(at, rows), {
        "at": at.isoformat() if at else None, "worst": worst, "is_well": is_good,
        "checks": [_as_data(row) for row in rows]})
    return EXIT_OK if is_good else EXIT_FAILED


def _examined(session: Session) -> tuple[datetime, list[Row]]:
    """Run all checks now, beside each other."""
    # these ask systems over the network: their clients take long to import
    from changeover.checks.health.checks import checks_of, examine

    checks = checks_of(session.site)
    rows: list[Row] = []
    with bar("examining", len(checks), is_hidden=session.output == "json") as advance:
        def counted(name: str) -> Any:
            def check() -> Any:
                try:
                    return checks[name]()
                finally:
                    advance(1)
            return check

        found = examine({name: counted(name) for name in checks})
    for name, each in found.items():
        rows.append((name, each.status, each.detail))
    return clock.now(), rows


def _stored(session: Session) -> tuple[datetime | None, list[Row]]:
    from changeover.store import health_results

    site = session.site
    known = health_results.latest(site.store, site.migration)
    rows = [(each.check, Status(each.status), each.detail) for each in known]
    return known[0].at if known else None, rows


def _worst(rows: list[Row]) -> Status:
    from changeover.checks.health.result import worst

    return worst(status for _, status, _ in rows)


def _text(at: datetime | None, rows: list[Row]) -> str:
    if at is None:
        return "no health check was stored yet"
    order = list(Status)
    lines = []
    # what is wrong stands last: that is where a person looks when a command has ended
    for name, status, detail in sorted(rows, key=lambda row: order.index(row[1])):
        sign = _SIGNS.get(status, "✗")
        lines.append(f"{sign} {name}: {status}, {detail}")
    bad = sum(status not in _GOOD for _, status, _ in rows)
    well = "all well" if not bad else f"{bad} of {len(rows)} not well"
    return "\n".join([*lines, f"{well}, {at:%Y-%m-%d %H:%M:%S} UTC"])


def _as_data(row: Row) -> dict[str, str]:
    name, status, detail = row
    return {"check": name, "status": str(status), "detail": detail}
