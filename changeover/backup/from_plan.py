"""What a plan wants backed up, and where to."""

from __future__ import annotations

from pathlib import Path

from changeover.backup.items import DatabaseItem, FolderItem, Item, TextItem
from changeover.backup.places import Place, place
from changeover.errors import InvalidInput
from changeover.plan.addresses import database_address
from changeover.plan.procedures import BackupSpec
from changeover.site.site import Site
from changeover.store import flags

STORE = "changeover-store"


def place_of(site: Site) -> Place:
    """Return where a migration's backups are: a folder, or an address."""
    spec = site.plan.cutover.backup or BackupSpec()
    return place(spec.target, site.home.root, within=spec.longest_copying)


def refuse_scratch(site: Site) -> None:
    """Refuse to keep a backup in the folder for temporary files of another machine.

    Raises:
        InvalidInput: The plan's target is a folder of the main machine's home.
    """
    target = (site.plan.cutover.backup or BackupSpec()).target
    if site.is_elsewhere and "://" not in target and not Path(target).is_absolute():
        raise InvalidInput(
            f"no backup is made on this machine: {target} is a folder of the home of `changeover "
            "up`, which is on another one", where="cutover.backup.target",
            allowed="an address as s3://bucket/backups, or an absolute path that the worker's "
            "machine has and that is kept",
            next_step="Amend the plan, or run cutover/main by the worker of `changeover up`")


def items_of(site: Site) -> list[Item]:
    """Return what is backed up: the plan's databases and folders, and what is ours.

    Raises:
        InvalidInput: The variable of a database's URL is not set.
    """
    plan, home, folder = site.plan, site.home, site.folder
    spec = plan.cutover.backup or BackupSpec()
    items: list[Item] = []
    for name, ref in spec.databases.items():
        address = database_address(ref, folder)
        # With its password: `pg_dump` needs it; the backup itself keeps only the bare address.
        url = address.render_as_string(hide_password=False)
        items.append(DatabaseItem(name, url))
    for name, path in spec.folders.items():
        items.append(FolderItem(name, folder / path))
    if spec.store:
        items.append(DatabaseItem(STORE, home.store_url))
    values = flags.values(site.store, site.migration, site.environment)
    lines = [f"{key}: {value!r}\n" for key, value in values.items()]
    # elsewhere there is none: each gateway's machine makes its files anew from the plan
    if not site.is_elsewhere:
        items.append(FolderItem("changeover-gateway", home.gateway_files.root))
    return [
        *items,
        # As it is now, with every default: the file may be amended, and defaults may change.
        TextItem("changeover-plan", plan.model_dump_json(by_alias=True, indent=1)),
        TextItem("changeover-flags", "".join(lines)),
    ]
