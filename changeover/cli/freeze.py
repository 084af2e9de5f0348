"""Commands for times in which nobody is moved to the candidate."""

from __future__ import annotations

import click

from changeover import clock
from changeover.cli.common import Session, anywhere_command
from changeover.cli.saying import why_option
from changeover.domain.audit import Author
from changeover.plan.until import FORMS, parse_until
from changeover.procedures import by_hand


@click.group()
def freeze() -> None:
    """Keep everybody where they are for a time: no promotion, rollback always."""


@freeze.command("on", epilog="\b\nExamples:\n  changeover freeze on --reason 'year-end closing'\n"
                "  changeover freeze on --reason holidays --until '2026-12-27 08:00 Europe/Warsaw'")
@why_option
@click.option("--until", help=f"When it ends by itself: {FORMS}. Default: with `freeze off`.")
@anywhere_command
def freeze_on(session: Session, reason: str, until: str | None) -> None:
    """Promote nothing until further notice; given again, the new end and reason count."""
    now = clock.now()
    ends = parse_until(until, now, where="--until") if until is not None else None
    author = Author(session.actor, reason)
    done = by_hand.freeze(session.site, author, ends)
    session.show(done.text, done.data["freeze"])


@freeze.command("off", epilog="\b\nExample:\n  changeover freeze off --reason 'the year is closed'")
@why_option
@anywhere_command
def freeze_off(session: Session, reason: str) -> None:
    """End the freeze; a cutover that waited for it goes on."""
    done = by_hand.thaw(session.site, Author(session.actor, reason))
    session.show(done.text, done.data)
