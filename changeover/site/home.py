"""The home directory: where one machine keeps a migration's store, gateway files, logs and reports.

Default `.changeover` in the working directory, or `$CHANGEOVER_HOME`. Layout:

    run.json      addresses and process ids of the running `changeover up`
    secrets.json  mode 0600: the token that faults in the demo ask for, Prefect's password
    store.db      the store, unless a database URL is given
    prefect/      Prefect's own home: its database and task results
    gateway/      Envoy's configuration, access log and admin socket
    logs/         one file per process
    restart/      a file for each process that the supervisor is asked to start again
    reports/      rendered reports
    work/         what the two systems of a demo keep: theirs, not ours
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Any

from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.gateway.files import GatewayFiles
from changeover.machine.files import OWNER_ONLY, READABLE_BY_ALL, write_atomically

HOME_VARIABLE = "CHANGEOVER_HOME"
STORE_VARIABLE = "CHANGEOVER_STORE_URL"
DEFAULT_HOME = ".changeover"
WORK = "work"
_PROCESS = re.compile(r"[a-z][a-z-]{0,30}")
"""A name becomes a file's name, so it must not lead out of the folder."""


class Home:
    """Paths and settings under one directory. Creating the object touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()

    @classmethod
    def resolve(cls, given: Path | None = None) -> Home:
        """Return the home that was given, or `$CHANGEOVER_HOME`, or `.changeover` here."""
        return cls(given or Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME))

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.root / "logs"

    @property
    def reports(self) -> Path:
        """Rendered reports."""
        return self.root / "reports"

    def spared(self) -> list[Path]:
        """Return what no clean-up may touch: all but the systems' own folder `work`."""
        with contextlib.suppress(OSError):
            return [self.gateway_files.root, *(
                path for path in self.root.iterdir() if path.name != WORK)]
        return [self.root]

    @property
    def prefect_home(self) -> Path:
        """`PREFECT_HOME` of the server, the worker and the flows."""
        return self.root / "prefect"

    @property
    def gateway_files(self) -> GatewayFiles:
        """Envoy's files."""
        return GatewayFiles(self.root / "gateway")

    @property
    def store_url(self) -> str:
        """Database URL: `$CHANGEOVER_STORE_URL`, else `up --store`, else SQLite here."""
        return self.store_url_with(None)

    def store_url_with(self, asked: str | None) -> str:
        """Return the database URL as if `up --store` had saved the one that is asked for."""
        given = os.environ.get(STORE_VARIABLE) or asked or self.secrets().get("store_url")
        return str(given) if given else f"sqlite:///{self.root / 'store.db'}"

    def create(self) -> None:
        """Make the directories, readable by the owner only.

        Raises:
            EnvironmentProblem: The directory cannot be made or written.
        """
        try:
            for path in (self.root, self.logs, self.reports, self.prefect_home,
                         self.gateway_files.root):
                path.mkdir(parents=True, exist_ok=True)
            # whatever the umask says: the home holds secrets and users' answers
            self.root.chmod(stat.S_IRWXU)
            # permissions may look right on a file system that is read-only or full
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise EnvironmentProblem(
                f"the home directory cannot be written: {error.strerror or error}",
                where=str(self.root),
                next_step="Give a writable directory with --home DIR",
            ) from error

    def settings(self) -> dict[str, Any]:
        """Return what the running `changeover up` wrote: addresses, process ids, migration."""
        return self._read("run.json")

    def is_of_store(self, store_id: str) -> bool:
        """Whether `changeover up` ran here with a database; one of before says of none.

        Args:
            store_id: The database's own name.

        Raises:
            EnvironmentProblem: The settings cannot be read.
        """
        return self.settings().get("store_id") in (None, store_id)

    def is_of_node(self) -> bool:
        """Whether it is the home of a gateway node, and not that of `changeover up`.

        Raises:
            EnvironmentProblem: The settings cannot be read.
        """
        return "node" in self.settings()

    @property
    def has_worker(self) -> bool:
        """Whether the worker is a process of `changeover up`, which then starts it again."""
        return bool(self.settings().get("has_worker", True))

    def process(self, name: str) -> dict[str, Any] | None:
        """Return `pid` and `created` (Unix time) of a process of `changeover up`; None: unknown."""
        entry: dict[str, Any] | None = (self.settings().get("processes") or {}).get(name)
        return entry

    def save_settings(self, settings: dict[str, Any]) -> None:
        """Replace the settings atomically."""
        self._write("run.json", settings, mode=READABLE_BY_ALL)

    def secrets(self) -> dict[str, Any]:
        """Return the secrets of this home; never printed, readable by the owner only."""
        return self._read("secrets.json")

    def save_secrets(self, secrets: dict[str, Any]) -> None:
        """Replace the secrets atomically, readable by the owner only."""
        self._write("secrets.json", secrets, mode=OWNER_ONLY)

    def ask_restart(self, name: str) -> None:
        """Ask the supervisor to end a process of its own and start it again.

        Raises:
            EnvironmentProblem: The request cannot be written.
        """
        if not _PROCESS.fullmatch(name):
            raise InvalidInput(f"{name!r} is no process", allowed="a name as `shadow`")
        try:
            folder = self.root / "restart"
            folder.mkdir(exist_ok=True)
            (folder / name).touch()
        except OSError as error:
            raise EnvironmentProblem(
                f"the restart of {name} cannot be asked for: {error.strerror}",
                where=str(self.root), next_step="Mend the permissions or free some space",
            ) from error

    def pop_restarts(self) -> list[str]:
        """Return the processes that are to be started again, and remove the requests."""
        names = []
        for path in sorted((self.root / "restart").glob("*")):
            # its name is a request; one that somebody else has removed is done already
            with contextlib.suppress(OSError):
                path.unlink()
                names.append(path.name)
        return names

    def require_settings(self) -> dict[str, Any]:
        """Return the settings.

        Raises:
            InvalidInput: `changeover up` never ran with this home.
        """
        settings = self.settings()
        if not settings:
            raise InvalidInput(
                "nothing has been started with this home directory",
                where=str(self.root),
                next_step="Run `changeover up --plan FILE`, or name the directory with --home DIR; "
                "commands that look or move users work without one, with --store URL",
            )
        return settings

    def _read(self, name: str) -> dict[str, Any]:
        path = self.root / name
        try:
            found = json.loads(path.read_text())
        # before `up` there is none; a file that cannot be read is something else
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise EnvironmentProblem(
                f"the file cannot be read: {error}", where=str(path),
                next_step="Mend or remove it; `changeover up` writes it anew",
            ) from error
        return found if isinstance(found, dict) else {}

    def _write(self, name: str, content: dict[str, Any], *, mode: int) -> None:
        write_atomically(self.root / name, json.dumps(content, indent=1), mode=mode)
