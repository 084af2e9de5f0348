"""What a database driver says, as one sentence of ours with what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from changeover.errors import StoreError, StoreLocked

# the drivers have one class for all that goes wrong outside: only the text tells a lock
_LOCKED = ("database is locked", "lock timeout", "canceling statement due to lock", "deadlock")

# not of what we ask, but of who asks and when: a right that is missing, a standby that only reads
_REFUSED = ("42501", "25006")
# of the server, which ends what says nothing or takes too long; the program may have stood still
_ENDED = ("25P03", "25P04")


@contextmanager
def clear_errors(url: URL, who: Callable[[], str] = str) -> Iterator[None]:
    """Turn the driver's errors into ours: one sentence and what to do.

    Args:
        url: The database.
        who: Returns who has the lock; empty when nobody knows.
    """
    try:
        yield
    except OperationalError as error:
        reason = str(error.orig)
        if any(sign in reason for sign in _LOCKED):
            raise stayed_locked(url, who()) from error
        raise StoreError(
            f"the database cannot be used: {_one_line(reason)}", where=_shown(url),
            next_step="Check that it is there, that the server runs and that it may be written",
        ) from error
    # after its subclass above: what is left is a file that is no database, or a damaged one
    except DatabaseError as error:
        if getattr(error.orig, "sqlstate", None) in _REFUSED:
            raise StoreError(
                f"the database refuses it: {_one_line(str(error.orig))}", where=_shown(url),
                next_step="Give the role its rights (`changeover store grants` prints them), or "
                "see why the database is read-only",
            ) from error
        if getattr(error.orig, "sqlstate", None) in _ENDED:
            raise StoreError(
                f"the database ended the transaction: {_one_line(str(error.orig))}",
                where=_shown(url),
                next_step="Nothing was changed here: do it again, and see what made it stand still",
            ) from error
        if _is_programming_fault(error):
            raise
        raise StoreError(
            f"this is not a usable database: {_one_line(str(error.orig))}", where=_shown(url),
            next_step="Give another one with --store URL, or restore it from a backup",
        ) from error


def stayed_locked(url: URL, writer: str) -> StoreLocked:
    """Return the error of a transaction that waited too long, naming who wrote meanwhile."""
    by = f"by {writer}" if writer else "by a transaction that has ended just now"
    return StoreLocked(
        f"the database stayed locked {by}", where=_shown(url),
        next_step="Nothing was changed here and traffic stays as it is: do it again, and end that "
        "process if it stands still",
    )


def blocker_of(engine: Engine) -> str:
    """Return PostgreSQL's oldest write transaction, for a person; empty when there is none."""
    # only a transaction that has written has a number (`backend_xid`): readers keep nobody waiting
    query = text(
        "SELECT application_name, pid, extract(epoch FROM clock_timestamp() - xact_start) * 1000 "
        "FROM pg_stat_activity WHERE datname = current_database() AND backend_xid IS NOT NULL "
        "AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1")
    try:
        with engine.connect() as connection:
            found = connection.execute(query).first()
    except DBAPIError:  # it is about a lock that was not had; this is only its explanation
        return ""
    if found is None:
        return ""
    program, session, milliseconds = found
    return f"{program or 'a program'} (session {session}), for {float(milliseconds):,.0f} ms"


def _shown(url: URL) -> str:
    return url.render_as_string(hide_password=True)


def _is_programming_fault(error: DBAPIError) -> bool:
    """Whether the program, not the database, is at fault; such errors keep their traceback."""
    from sqlalchemy.exc import DataError, IntegrityError, InternalError, ProgrammingError

    return isinstance(error, DataError | IntegrityError | InternalError | ProgrammingError)


def _one_line(text: str) -> str:
    # drivers answer in several lines with hints; an error of ours is one sentence
    return " ".join(text.split())[:300]
