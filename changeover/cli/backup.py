"""Commands about backups: make, verify, restore, list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from changeover import clock
from changeover.backup import check, from_plan
from changeover.backup import make as making
from changeover.backup import restore as restoring
from changeover.backup.items import Progress as Step
from changeover.backup.manifest import Backup
from changeover.cli.common import Command, home_option, output_option, show
from changeover.errors import EXIT_FAILED, ChangeoverError
from changeover.plan.procedures import BackupSpec
from changeover.plan.units import format_size
from changeover.site.home import Home
from changeover.site.site import Site


@click.group("backup")
def backup_group() -> None:
    """Back up what a cutover could harm, and get it back."""


def folder_option(command: Command) -> Command:
    """Add `--in`."""
    return click.option("--in", "folder", type=click.Path(file_okay=False, path_type=Path),
                        help="Folder of the backups; default: the plan's in the home.")(command)


@backup_group.command(epilog="\b\nExamples:\n  changeover backup make\n"
                      "  changeover backup make --name before-upgrade --in /mnt/backups")
@home_option
@output_option
@folder_option
@click.option("--name", help="Of the backup; default: the migration and the time.")
def make(
    home: Path | None, migration: str | None, output: str, folder: Path | None, name: str | None
) -> None:
    """Back up the store, plan, flags, gateway and the plan's databases and folders, and verify."""
    found = Site.open(home, migration)
    plan, now = found.plan, clock.now()
    items = from_plan.items_of(found)
    with _bars() as tell:
        made = making.make_backup(
            items, folder or from_plan.target_of(found),
            name=name or f"{plan.migration}-{now:%Y%m%d-%H%M%S}", now=now, tell=tell)
        checked = check.verify(made.path, servers=from_plan.servers_of(items))
    if not checked.is_good:
        raise ChangeoverError(f"the backup is not good\n{as_text(checked)}",
                              where=str(made.path))
    size = format_size(sum(item.size for item in made.items))
    show(output, f"{as_text(checked)}\n{made.path}: {len(made.items)} items, {size}, verified",
         {"path": str(made.path), "items": [item.name for item in made.items]})


@backup_group.command(epilog="\b\nExamples:\n  changeover backup verify documents-cutover-3\n"
                      "  changeover backup verify /mnt/backups/before-upgrade\n"
                      "  changeover backup verify NAME --scratch postgresql://me@127.0.0.1/postgres"
                      "\n\b\nPasswords come from the URL, PGPASSWORD or ~/.pgpass.\n"
                      "Exit codes: 0 good, 1 an item is not.")
@click.argument("name")
@home_option
@output_option
@folder_option
@click.option("--scratch", help="PostgreSQL server where scratch databases may be made.")
def verify(
    name: str, home: Path | None, migration: str | None, output: str, folder: Path | None,
    scratch: str | None,
) -> int:
    """Check a backup: checksums, and every item restored into a scratch place."""
    path = _path(name, home, migration, folder)
    with _bars() as tell:
        checked = check.verify(path, servers=_servers(home, migration), scratch=scratch, tell=tell)
    show(output, as_text(checked), {
        "path": str(checked.path), "is_good": checked.is_good,
        "items": [asdict(item) for item in checked.items]})
    return 0 if checked.is_good else EXIT_FAILED


@backup_group.command(epilog="\b\nExamples:\n"
                      "  changeover backup restore NAME changeover-store --to /tmp/store.db\n"
                      "  changeover backup restore NAME orders --to postgresql://me@127.0.0.1/empty"
                      "\n\b\nNothing is ever overwritten: --to is new, or an empty database.")
@click.argument("name")
@click.argument("item")
@click.option("--to", required=True, help="New file or folder, or URL of an empty database.")
@home_option
@folder_option
def restore(
    name: str, item: str, to: str, home: Path | None, migration: str | None, folder: Path | None
) -> None:
    """Restore one item of a backup to a new place."""
    click.echo(restoring.restore(_path(name, home, migration, folder), item, to))


@backup_group.command("list", epilog="\b\nExample:\n  changeover backup list --output json")
@home_option
@output_option
@folder_option
def list_backups(
    home: Path | None, migration: str | None, output: str, folder: Path | None
) -> None:
    """List the finished backups with their items."""
    place = folder or _folder(home, migration)
    found = making.backups(place)
    show(output, "\n".join(_line(each) for each in found) or f"no backup in {place}",
         [{"name": each.name, "path": str(each.path), "made_at": each.made_at.isoformat(),
           "items": {item.name: item.size for item in each.items}} for each in found])


def as_text(checked: check.Checked) -> str:
    """Return what was checked for people, what is wrong last."""
    ordered = sorted(checked.items, key=lambda item: not item.is_good)
    return "\n".join(f"{'✓' if item.is_good else '✗'} {item.name}: {item.detail}"
                     for item in ordered)


def _line(backup: Backup) -> str:
    size = format_size(sum(item.size for item in backup.items))
    return (f"{backup.made_at:%Y-%m-%d %H:%M:%S}  {backup.name}  {size}  "
            + ", ".join(item.name for item in backup.items))


def _path(name: str, home: Path | None, migration: str | None, folder: Path | None) -> Path:
    """Return where a backup is: a path as it is, a name in the folder of backups."""
    return Path(name) if "/" in name else (folder or _folder(home, migration)) / name


def _folder(home: Path | None, migration: str | None) -> Path:
    """Return the folder of backups; without a store, for a restore, the usual one."""
    try:
        found = Site.open(home, migration)
    except ChangeoverError:
        return Home.resolve(home).root / BackupSpec().target
    return from_plan.target_of(found)


def _servers(home: Path | None, migration: str | None) -> dict[str, str]:
    """Return the databases' URLs with passwords, as far as the running migration knows them."""
    try:
        return from_plan.servers_of(from_plan.items_of(Site.open(home, migration)))
    except ChangeoverError:
        return {}


@contextmanager
def _bars() -> Iterator[Callable[[Step], None]]:
    """Show a bar for each item on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(), console=Console(stderr=True),
    ) as progress:
        bars: dict[str, TaskID] = {}

        def tell(step: Step) -> None:
            if step.item not in bars:
                bars[step.item] = progress.add_task(step.item, total=None, told="")
            progress.update(bars[step.item], total=step.total or None, completed=step.done,
                            told=f"{step.done}/{step.total or '?'} {step.unit}")

        yield tell
