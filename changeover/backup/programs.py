"""Finding `pg_dump` and `pg_restore` that are new enough for a server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from changeover.errors import EnvironmentProblem

VARIABLE = "CHANGEOVER_PG_BIN"
"""Environment variable: the folder of PostgreSQL's programs, before all others."""
_INSTALLED = "/usr/lib/postgresql"


def find(program: str, version: int) -> Path:
    """Return a program that knows a server's major version.

    Looked for in `$CHANGEOVER_PG_BIN`, on PATH, and where Debian keeps several versions.

    Args:
        program: `pg_dump` or `pg_restore`.
        version: The server's major version; the program must not be older.

    Raises:
        EnvironmentProblem: There is none, or only older ones.
    """
    seen: list[str] = []
    for path in _candidates(program):
        found = _version_of(path)
        if found is not None and found >= version:
            return path
        seen.append(f"{path} is of version {found or 'unknown'}")
    what = f"{program} is not installed" if not seen else f"{program} is too old"
    raise EnvironmentProblem(
        f"{what} for a server of version {version}" + (f": {'; '.join(seen)}" if seen else ""),
        next_step=f"Install postgresql-client-{version}, or name the folder that holds it in "
        f"${VARIABLE}",
    )


def _candidates(program: str) -> Iterator[Path]:
    seen: set[Path] = set()
    named = os.environ.get(VARIABLE, "")
    folders = [named, *os.environ.get("PATH", "").split(os.pathsep)]
    # The newest first: any program that is new enough knows older servers, too.
    installed = sorted(Path(_INSTALLED).glob("*/bin"), reverse=True)
    for folder in [*filter(None, folders), *map(str, installed)]:
        path = shutil.which(program, path=folder)
        # /bin is a link to /usr/bin on many machines: the same program only once.
        if path and (real := Path(path).resolve()) not in seen:
            seen.add(real)
            yield Path(path)


def _version_of(path: Path) -> int | None:
    try:
        done = subprocess.run([str(path), "--version"], capture_output=True, text=True,
                              timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\) (\d+)", done.stdout)
    return int(found[1]) if found else None
