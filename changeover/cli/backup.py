"""Commands about backups: make, verify, restore, list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from changeover import clock
from changeover.backup import check, from_plan
from changeover.backup import make as making
from changeover.backup import restore as restoring
from changeover.backup.items import Progress as Step
from changeover.backup.manifest import Backup
from changeover.cli import completing
from changeover.cli.bars import several, spinner
from changeover.cli.common import (
    FOLDER,
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
    "--in", "folder", type=FOLDER, help="Folder of the backups; default: the plan's in the home.")


@backup_group.command(epilog="\b\nExamples:\n  changeover backup make\n"
                      "  changeover backup make --name before-upgrade --in /mnt/backups")
@site_command
@folder_option
@click.option("--name", help="Of the backup; default: the migration and the time.")
def make(session: Session, folder: Path | None, name: str | None) -> None:
    """Back up the store, plan, flags, gateway and the plan's databases and folders, and verify."""
    site, now = session.site, clock.now()
    items = from_plan.items_of(site)
    place = folder or from_plan.target_of(site)
    name = name or f"{site.migration}-{now:%Y%m%d-%H%M%S}"
    with _bars(session) as advance:
        made = making.make_backup(
            items, place, name=name, now=now, report=advance)
        # verified at once: a backup that cannot be restored is found while there is time
        servers = from_plan.servers_of(items)
        checked = check.verify(made.path, servers=servers)
    if not checked.is_good:
        text = f"the backup is not good\n{as_text(checked)}"
        raise ChangeoverError(text, where=str(made.path))
    size = format_size(sum(item.size for item in made.items))
    end = f"{made.path}: {len(made.items)} items, {size}, verified"
    names = [item.name for item in made.items]
    data = {"path": str(made.path), "items": names}
    session.show(f"{as_text(checked)}\n{end}", data)


@backup_group.command(epilog="\b\nExamples:\n  changeover backup verify documents-cutover-3\n"
                      "  changeover backup verify /mnt/backups/before-upgrade\n"
                      "  changeover backup verify NAME --scratch postgresql://me@127.0.0.1/postgres"
                      "\n\b\nPasswords come from the URL, PGPASSWORD or ~/.pgpass.\n"
                      "Exit codes: 0 good, 1 an item is not.")
@click.argument("name", shell_complete=completing.backups)
@site_command
@folder_option
@click.option("--scratch", help="PostgreSQL server where scratch databases may be made.")
def verify(session: Session, name: str, folder: Path | None, scratch: str | None) -> int:
    """Check a backup: checksums, and every item restored into a scratch place."""
    path = _path(session, name, folder)
    servers = _servers(session)
    with _bars(session) as advance:
        checked = check.verify(
            path, servers=servers, scratch=scratch, report=advance)
    items = [asdict(item) for item in checked.items]
    session.show(as_text(checked), {
        "path": str(checked.path), "is_good": checked.is_good,
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
def restore(session: Session, *, name: str, item: str, to: str, folder: Path | None) -> None:
    """Restore one item of a backup to a new place."""
    path = _path(session, name, folder)
    with spinner(f"restoring {item}"):
        text = restoring.restore(path, item, to)
    click.echo(text)


@backup_group.command("list", epilog="\b\nExample:\n  changeover backup list --output json")
@site_command
@folder_option
def list_backups(session: Session, folder: Path | None) -> None:
    """List the finished backups with their items."""
    place = folder or _folder(session)
    found = making.backups(place)
    lines = [_line(each) for each in found]
    text = "\n".join(lines) or f"no backup in {place}"
    session.show(text, [_as_data(each) for each in found])


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


def _as_data(backup: Backup) -> dict[str, Any]:
    sizes = {item.name: item.size for item in backup.items}
    return {
        "name": backup.name, "path": str(backup.path),
        "made_at": backup.made_at.isoformat(), "items": sizes,
    }


def _path(session: Session, name: str, folder: Path | None) -> Path:
    """Return where a backup is: a path as it is, a name in the folder of backups."""
    # as a shell tells a path from a name
    if "/" in name:
        return Path(name)
    return (folder or _folder(session)) / name


def _folder(session: Session) -> Path:
    """Return the folder of backups; without a store, for a restore, the usual one."""
    try:
        return from_plan.target_of(session.site)
    # a restore is for when the store is gone
    except ChangeoverError:
        return Home.resolve(session.home).root / BackupSpec().target


def _servers(session: Session) -> dict[str, str]:
    """Return the databases' URLs with passwords, as far as the running migration knows them."""
    try:
        items = from_plan.items_of(session.site)
        return from_plan.servers_of(items)
    # without them a scratch server can be named by hand
    except ChangeoverError:
        return {}


@contextmanager
def _bars(session: Session) -> Iterator[Callable[[Step], None]]:
    """Show a bar for each item on standard error."""
    with several(unit="done", is_hidden=session.output == "json") as report:
        yield lambda step: report(f"{step.item} ({step.unit})", step.done, step.total)
