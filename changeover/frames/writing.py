"""Tables as files, written part by part: as CSV, or as Parquet. A file is whole or not there."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from changeover.errors import EnvironmentProblem, InvalidInput
from changeover.frames.columns import Column, Kind
from changeover.frames.rows import Part, Row
from changeover.machine.files import OWNER_ONLY

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a cell begins with that a spreadsheet takes for a formula (OWASP, CSV injection)."""
_WITHIN = re.compile(r"(?<=[;\t\r\n])(?=[=+\-@＝＋－＠])")
"""Where another cell begins for a spreadsheet that separates by `;`, as in many countries."""
Count = Callable[[int], None]


class Writer(Protocol):
    """Writes parts of a table to a new file."""

    def __call__(
        self, path: Path, columns: Sequence[Column], parts: Iterable[Part], count: Count
    ) -> int:
        """Write all parts; return the number of rows."""
        ...


def write_csv(
    path: Path, columns: Sequence[Column], parts: Iterable[Part], count: Count
) -> int:
    """Write CSV as RFC 4180 says, in UTF-8; missing values are empty, times ISO 8601 in UTC.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    written = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([column.name for column in columns])
        for part in parts:
            writer.writerows(_cells(row, columns) for row in part)
            written += len(part)
            count(len(part))
    return written


def _cells(row: Row, columns: Sequence[Column]) -> Iterator[Any]:
    for column in columns:
        yield cell(row[column.name], column.kind)


def cell(value: Any, kind: Kind) -> Any:
    """Return a value as a cell of a CSV file."""
    if value is None:
        return ""
    if kind is Kind.TIME and isinstance(value, datetime):
        return value.isoformat()
    # Python's words for them are read by few other programs
    if kind is Kind.FLAG:
        return "true" if value else "false"
    if kind in (Kind.TEXT, Kind.JSON):
        return safe(str(value))
    return value


def safe(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    found = _WITHIN.sub("'", text)
    return f"'{found}" if found.startswith(FORMULAS) else found


def write_parquet(
    path: Path, columns: Sequence[Column], parts: Iterable[Part], count: Count
) -> int:
    """Write Parquet, a row group for each part, compressed with Snappy.

    Raises:
        EnvironmentProblem: What writes Parquet is not installed.
    """
    from changeover.frames import frame_of

    write = _parquet()
    written = 0
    for part in parts:
        frame = frame_of(part, columns)
        write(path, frame, append=written > 0, compression="SNAPPY", write_index=False)
        written += len(part)
        count(len(part))
    # a table without rows has its columns all the same
    if not written:
        write(path, frame_of([], columns), compression="SNAPPY", write_index=False)
    return written


def _parquet() -> Callable[..., None]:
    try:
        from fastparquet import write
    except ImportError as error:
        raise EnvironmentProblem(
            "nothing is installed that writes Parquet", where="--format parquet",
            next_step="Run `pip install 'changeover[parquet]'` (14 MB), or use --format csv",
        ) from error
    found: Callable[..., None] = write
    return found


WRITERS: dict[str, Writer] = {"csv": write_csv, "parquet": write_parquet}
"""What writes each format, by the end of a file's name."""


def check_format(name: str) -> None:
    """Refuse a format that cannot be written here, before anything is read.

    Raises:
        EnvironmentProblem: What writes it is not installed.
    """
    if name == "parquet":
        _parquet()


def refuse_existing(paths: Iterable[Path]) -> None:
    """Refuse to replace files.

    Raises:
        InvalidInput: One of them is there already.
    """
    there = [str(path) for path in paths if path.exists() or path.is_symlink()]
    if there:
        raise InvalidInput(
            f"{', '.join(there)} would be replaced", where="--output",
            next_step="Give another folder, or --force")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a file beside the wanted one, which takes its place when all of it is written.

    Raises:
        EnvironmentProblem: The disk is full, or the folder cannot be written.
    """
    try:
        # beside its target: a rename is atomic within one file system only
        with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            beside = Path(folder) / path.name
            yield beside
            beside.chmod(OWNER_ONLY)
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.replace(path)
    except OSError as error:
        raise EnvironmentProblem(
            f"the file cannot be written: {error.strerror or error}", where=str(path),
            next_step="Free some space or correct the permissions; an older file stays",
        ) from error
