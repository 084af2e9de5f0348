"""What a migration measured and decided, as pandas DataFrames for analysts.

    from changeover import frames

    site = frames.open_site(".changeover")
    minutes = frames.samples(site)
    minutes.groupby("system")["requests"].sum()

Each function returns one table of `docs/frames.md`: its columns, units and dtypes stand there and
in `TABLES`. `parts` yields the same as smaller frames, for what does not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from changeover.errors import InvalidInput
from changeover.frames.columns import TABLES, Column, Kind, Table
from changeover.frames.rows import MINUTE, Row, Wanted
from changeover.frames.rows import parts as _parts
from changeover.site.site import Site

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "TABLES", "Column", "Kind", "Table", "audit", "checks", "comparisons", "divergences",
    "firings", "open_site", "outcomes", "parts", "route_samples", "samples", "stages", "verdicts"]


def open_site(home: str | Path | None = None, migration: str | None = None) -> Site:
    """Return a migration whose tables can be read.

    Args:
        home: The home of `changeover up`; None for `$CHANGEOVER_HOME` or `.changeover` here.
        migration: Name of the migration; None for the one that was started last.

    Raises:
        InvalidInput: Nothing was started with this home, or there is no such migration.
        StoreError: The store cannot be used.
    """
    return Site.open(Path(home) if home is not None else None, migration)


def parts(table: str, site: Site, **wanted: Any) -> Iterator[pd.DataFrame]:
    """Yield a table as frames of some thousand rows, in order; memory does not grow with it.

    Args:
        table: One of `TABLES`.
        site: The migration.
        wanted: `since` and `until` (aware times), `with_keys`, and for samples `resolution`.

    Raises:
        InvalidInput: There is no such table, or a time is not aware.
    """
    if table not in TABLES:
        raise InvalidInput(f"there is no table {table!r}", allowed=", ".join(TABLES))
    found = Wanted(site.store, site.migration, **wanted)
    # a naive time would be another one on another machine
    for moment in found.span:
        if moment is not None and moment.tzinfo is None:
            raise InvalidInput(f"{moment} has no zone", allowed="an aware time, as in UTC")
    columns = TABLES[table].shown(with_keys=found.with_keys)
    for rows in _parts(table, found):
        yield frame_of(rows, columns)


def frame_of(rows: Sequence[Row], columns: Sequence[Column]) -> pd.DataFrame:
    """Return rows as a frame with exactly these columns and their dtypes."""
    # half a second of imports: only those who want frames pay it
    import pandas as pd

    data = {}
    for column in columns:
        values = [row[column.name] for row in rows]
        data[column.name] = pd.Series(values, dtype=column.dtype)
    return pd.DataFrame(data)


def _whole(table: str, site: Site, **wanted: Any) -> pd.DataFrame:
    import pandas as pd

    found = list(parts(table, site, **wanted))
    if found:
        return pd.concat(found, ignore_index=True)
    # nothing yet: the columns are there all the same
    return frame_of([], TABLES[table].shown(with_keys=bool(wanted.get("with_keys"))))


def stages(
    site: Site, *, since: datetime | None = None, until: datetime | None = None
) -> pd.DataFrame:
    """Return the stages of all cutovers that were entered in [since, until)."""
    return _whole("stages", site, since=since, until=until)


def verdicts(
    site: Site, *, since: datetime | None = None, until: datetime | None = None
) -> pd.DataFrame:
    """Return the evaluations of gates in [since, until)."""
    return _whole("verdicts", site, since=since, until=until)


def checks(
    site: Site, *, since: datetime | None = None, until: datetime | None = None
) -> pd.DataFrame:
    """Return what each check of each verdict in [since, until) found."""
    return _whole("checks", site, since=since, until=until)


def samples(
    site: Site, *, since: datetime | None = None, until: datetime | None = None,
    resolution: int = MINUTE,
) -> pd.DataFrame:
    """Return what was measured in [since, until).

    Args:
        site: The migration.
        since: Aware time; None from the beginning.
        until: Aware time, excluded; None until now.
        resolution: 60 for minutes, 1 for seconds, which are kept for a shorter time.
    """
    return _whole("samples", site, since=since, until=until, resolution=resolution)


def route_samples(
    site: Site, *, since: datetime | None = None, until: datetime | None = None,
    resolution: int = MINUTE,
) -> pd.DataFrame:
    """Return what was measured of each route's requests in [since, until), as `samples` does."""
    return _whole("route_samples", site, since=since, until=until, resolution=resolution)


def comparisons(
    site: Site, *, since: datetime | None = None, until: datetime | None = None,
    with_keys: bool = False,
) -> pd.DataFrame:
    """Return the comparisons of [since, until); paths and ids of requests only `with_keys`."""
    return _whole("comparisons", site, since=since, until=until, with_keys=with_keys)


def divergences(
    site: Site, *, since: datetime | None = None, until: datetime | None = None,
    with_keys: bool = False,
) -> pd.DataFrame:
    """Return places last seen in [since, until); examples with their values only `with_keys`."""
    return _whole("divergences", site, since=since, until=until, with_keys=with_keys)


def outcomes(
    site: Site, *, since: datetime | None = None, until: datetime | None = None,
    with_keys: bool = False,
) -> pd.DataFrame:
    """Return the outcomes accepted in [since, until); their ids only `with_keys`."""
    return _whole("outcomes", site, since=since, until=until, with_keys=with_keys)


def firings(
    site: Site, *, since: datetime | None = None, until: datetime | None = None
) -> pd.DataFrame:
    """Return the triggers that fired in [since, until)."""
    return _whole("firings", site, since=since, until=until)


def audit(
    site: Site, *, since: datetime | None = None, until: datetime | None = None,
    with_keys: bool = False,
) -> pd.DataFrame:
    """Return the audit of [since, until); names of claimed items only `with_keys`."""
    return _whole("audit", site, since=since, until=until, with_keys=with_keys)
