"""Files that other processes read: replaced as a whole, so that nobody reads half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from changeover.errors import EnvironmentProblem

OWNER_ONLY = 0o600
READABLE_BY_ALL = 0o644


def write_atomically(path: Path, content: bytes | str, *, mode: int = OWNER_ONLY) -> None:
    """Replace a file, or make it, as a whole.

    - A reader finds the old content or the new one, also after a kill or a power cut.
    - An error leaves the old file and nothing else; a kill may leave a hidden file beside it.
    - The new file has `mode`, whatever the old one and the umask were.
    - Of two writers at once the later rename wins; lock first where that must not happen.

    Args:
        path: The file; its folder exists.
        content: The new content; text is written as UTF-8.
        mode: Permissions of the file.

    Raises:
        EnvironmentProblem: The disk is full, or the folder is missing or read-only.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        _replace(path, data, mode)
    except OSError as error:
        raise EnvironmentProblem(
            f"the file cannot be written: {error.strerror or error}",
            where=str(path),
            next_step="Free some space or correct the permissions; the old file stays",
        ) from error


def _replace(path: Path, data: bytes, mode: int) -> None:
    # beside its target: a rename is atomic within one file system only
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            # before the rename: a power cut must not leave the new name with no content
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
