"""Commands about backups: make, verify, restore, list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from changeover import clock
from changeover.backup import check, from_plan, places
from changeover.backup import restore as restoring
from changeover.backup.items import Progress as Step
from changeover.backup.items import servers_of
from changeover.backup.manifest import Backup
from changeover.backup.places import Place
from changeover.cli import completing
from changeover.cli.bars import several, spinner
from changeover.cli.common import (
    Session,
    home_option,
    migration_option,
    pass_session,
    site_command,
)
from changeover.errors import EXIT_FAILED, ChangeoverError
from changeover.plan.procedures import BackupSpec
from changeover.plan.units import format_size
from changeover.site.home import Home


@click.group("backup")
def backup_group() -> None:
    """Back up what a cutover could harm, and get it back."""


folder_option = click.option(
    "--in", "place", metavar="PLACE",
    help="Folder or address of the backups; default: the plan's `cutover.backup.target`.")


@backup_group.command(epilog="\b\nExamples:\n  changeover backup make\n"
                      "  changeover backup make --name before-upgrade --in /mnt/backups\n"
                      "  changeover backup make --in s3://bucket/backups")
@site_command
@folder_option
@click.option("--name", help="Of the backup; default: the migration and the time.")
def make(session: Session, place: str | None, name: str | None) -> None:
    """Back up the store, plan, flags, gateway and the plan's databases and folders, and verify."""
    site, now = session.site, clock.now()
    items = from_plan.items_of(site)
    name = name or f"{site.migration}-{now:%Y%m%d-%H%M%S}"
    with _bars(session) as advance:
        # verified at once: a backup that cannot be restored is found while there is time
        kept = places.keep(
            items, _place(session, place), name=name, now=now, report=advance)
    if not kept.checked.is_good:
        text = f"the backup is not good\n{as_text(kept.checked)}"
        raise ChangeoverError(text, where=kept.where)
    size = format_size(sum(item.size for item in kept.backup.items))
    end = f"{kept.where}: {len(kept.backup.items)} items, {size}, verified"
    names = [item.name for item in kept.backup.items]
    data = {"path": kept.where, "items": names}
    session.show(f"{as_text(kept.checked)}\n{end}", data)


@backup_group.command(epilog="\b\nExamples:\n  changeover backup verify documents-cutover-3\n"
                      "  changeover backup verify /mnt/backups/before-upgrade\n"
                      "  changeover backup verify s3://bucket/backups/documents-cutover-3\n"
                      "  changeover backup verify NAME --scratch postgresql://me@127.0.0.1/postgres"
                      "\n\b\nPasswords come from the URL, PGPASSWORD or ~/.pgpass.\n"
                      "Exit codes: 0 good, 1 an item is not.")
@click.argument("name", shell_complete=completing.backups)
@site_command
@folder_option
@click.option("--scratch", help="PostgreSQL server where scratch databases may be made.")
def verify(session: Session, name: str, place: str | None, scratch: str | None) -> int:
    """Check a backup: checksums, and every item restored into a scratch place."""
    found, name = _located(session, name, place)
    servers = _servers(session)
    with _bars(session) as advance, found.at_hand(name) as path:
        checked = check.verify(
            path, servers=servers, scratch=scratch, report=advance)
    items = [asdict(item) for item in checked.items]
    session.show(as_text(checked), {
        "path": found.where(name), "is_good": checked.is_good,
        "items": items,
    })
    return 0 if checked.is_good else EXIT_FAILED


@backup_group.command(epilog="\b\nExamples:\n"
                      "  changeover backup restore NAME changeover-store --to /tmp/store.db\n"
                      "  changeover backup restore NAME orders --to postgresql://me@127.0.0.1/empty"
                      "\n\b\nNothing is ever overwritten: --to is new, or an empty database.")
@click.argument("name", shell_complete=completing.backups)
@click.argument("item")
@click.option("--to", required=True, help="New file or folder, or URL of an empty database.")
@home_option
@migration_option
@folder_option
@pass_session
def restore(session: Session, *, name: str, item: str, to: str, place: str | None) -> None:
    """Restore one item of a backup to a new place."""
    found, name = _located(session, name, place)
    with spinner(f"restoring {item}"), found.at_hand(name, item) as path:
        text = restoring.restore(path, item, to)
    click.echo(text)


@backup_group.command("list", epilog="\b\nExample:\n  changeover backup list --output json")
@site_command
@folder_option
def list_backups(session: Session, place: str | None) -> None:
    """List the finished backups with their items."""
    at = _place(session, place)
    found = at.every()
    lines = [_line(each) for each in found]
    text = "\n".join(lines) or f"no backup in {at}"
    session.show(text, [_as_data(each, at) for each in found])


def as_text(checked: check.Checked) -> str:
    """Return what was checked for people, what is wrong last."""
    # what is wrong stands last: that is where a person looks when a command has ended
    lines = []
    for item in sorted(checked.items, key=lambda item: not item.is_good):
        sign = "✓" if item.is_good else "✗"
        lines.append(f"{sign} {item.name}: {item.detail}")
    return "\n".join(lines)


def _line(backup: Backup) -> str:
    size = format_size(sum(item.size for item in backup.items))
    names = ", ".join(item.name for item in backup.items)
    return f"{backup.made_at:%Y-%m-%d %H:%M:%S}  {backup.name}  {size}  {names}"


def _as_data(backup: Backup, at: Place) -> dict[str, Any]:
    sizes = {item.name: item.size for item in backup.items}
    return {
        "name": backup.name, "path": at.where(backup.name),
        "made_at": backup.made_at.isoformat(), "items": sizes,
    }


def _located(session: Session, name: str, given: str | None) -> tuple[Place, str]:
    """Return where a backup is, and its name there; the name may be a path or an address."""
    # as a shell tells a path from a name
    if "/" in name:
        given, _, name = name.rstrip("/").rpartition("/")
        given = given or "/"
    return _place(session, given), name


def _place(session: Session, given: str | None) -> Place:
    """Return where backups are; without a store, for a restore, the usual folder."""
    root = Home.resolve(session.home).root
    if given is not None:
        # as typed: a folder is one of where the person is
        return places.place(given if "://" in given else str(Path.cwd() / given), root)
    try:
        return from_plan.place_of(session.site)
    # a restore is for when the store is gone
    except ChangeoverError:
        return places.place(BackupSpec().target, root)


def _servers(session: Session) -> dict[str, str]:
    """Return the databases' URLs with passwords, as far as the running migration knows them."""
    try:
        items = from_plan.items_of(session.site)
        return servers_of(items)
    # without them a scratch server can be named by hand
    except ChangeoverError:
        return {}


@contextmanager
def _bars(session: Session) -> Iterator[Callable[[Step], None]]:
    """Show a bar for each item on standard error."""
    with several(unit="done", is_hidden=session.output == "json") as report:
        yield lambda step: report(f"{step.item} ({step.unit})", step.done, step.total)
