"""Health of the machine: memory, disks, folders, databases, certificates."""

from __future__ import annotations

import errno
import os
import ssl
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from changeover.checks.health.result import Health, by_level, worst
from changeover.checks.suites.data import database_url, revision_of
from changeover.checks.suites.security import certificate_left
from changeover.checks.suites.target import CheckTarget
from changeover.domain.health import Status
from changeover.machine import trust
from changeover.plan.health import CertificateSpec, DatabaseHealthSpec, Issue, LevelSpec
from changeover.plan.units import format_duration, format_size, parse_address


def memory(spec: LevelSpec) -> Health:
    """Judge the share of memory in use."""
    found = psutil.virtual_memory()
    health = _level("memory", found.percent, spec, Issue.MEMORY_PRESSURE)
    return replace(health, data={
        **health.data, "total": found.total, "used": found.used, "available": found.available})


def disk(spec: LevelSpec, place: Path) -> Health:
    """Judge the share of a disk's space and inodes in use, whichever is more."""
    used = psutil.disk_usage(str(place)).percent
    found = os.statvfs(place)
    # Without a free inode no file can be made, however much space there is.
    inodes = 0.0
    if found.f_files:
        inodes = 100.0 * (1 - found.f_favail / found.f_files)
    what = "inodes of the disk" if inodes > used else "disk"
    return _level(what, max(used, inodes), spec, Issue.DISK_FULL)


def _level(what: str, percent: float, spec: LevelSpec, issue: Issue) -> Health:
    status = by_level(percent, float(spec.warning), float(spec.critical))
    due = None if status is Status.HEALTHY else issue
    detail = f"{what} {percent:.0f} % used"
    return Health(status, detail, {"percent": percent}, due)


def folder(path: Path) -> Health:
    """Check that a file can be written into a folder, and remove it."""
    try:
        # By writing: rights alone do not show a full disk or one that is mounted read-only.
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"x")
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        issue = Issue.DISK_FULL if is_full else None
        detail = f"{path} cannot be written: {error.strerror}"
        return Health(Status.CRITICAL, detail, {}, issue)
    return Health(Status.HEALTHY, f"{path} is writable")


def certificate(spec: CertificateSpec) -> Health:
    """Judge how long a certificate is still valid."""
    host, port = parse_address(spec.address)
    try:
        left = certificate_left((host, port), host, trust.context(spec.ca_file))
    except ssl.SSLCertVerificationError as error:
        what = f"{spec.address} is not trusted: {error.verify_message}"
        return Health(Status.CRITICAL, what, {}, Issue.CERTIFICATE_EXPIRY)
    except OSError as error:
        what = f"no TLS with {spec.address}: {error}"
        return Health(Status.CRITICAL, what, {}, Issue.SERVICE_DOWN)
    detail = f"valid for {format_duration(left)}"
    data = {"seconds": left.total_seconds()}
    if left >= max(spec.warning, spec.critical):
        return Health(Status.HEALTHY, detail, data)
    status = Status.CRITICAL if left < spec.critical else Status.WARNING
    return Health(status, detail, data, Issue.CERTIFICATE_EXPIRY)


def database(spec: DatabaseHealthSpec, target: CheckTarget) -> Health:
    """Check that a database answers and grants a lock in time; judge its size and migration."""
    url = database_url(spec.database, target)
    wait = spec.lock_wait.total_seconds()
    is_sqlite = url.get_backend_name() == "sqlite"
    # SQLite makes a file that is not there: an empty one, which would look healthy.
    if is_sqlite and not os.path.exists(url.database or ""):  # noqa: PTH110  a URL's text
        return Health(Status.CRITICAL, "is not there", {}, Issue.SERVICE_DOWN, "database")
    options: dict[str, Any] = {"timeout": wait}
    if not is_sqlite:
        lock_timeout = f"-c lock_timeout={int(wait * 1000)}"
        options = {"connect_timeout": 3, "options": lock_timeout}
    engine = create_engine(url, connect_args=options)
    try:
        return _database(spec, engine, is_sqlite=is_sqlite)
    except SQLAlchemyError as error:
        # The driver's own words: ours name locks in a query that may fail for another reason.
        is_locked = "lock" in str(getattr(error, "orig", "")).lower()
        detail = f"cannot be used ({type(error).__name__})"
        issue = Issue.SERVICE_DOWN
        if is_locked:
            detail = f"a lock was not granted within {wait:g} s"
            issue = Issue.DATABASE_LOCK
        return Health(Status.CRITICAL, detail, {}, issue, "database")
    finally:
        engine.dispose()


def _database(spec: DatabaseHealthSpec, engine: Engine, *, is_sqlite: bool) -> Health:
    with engine.connect() as connection:
        began = time.perf_counter()
        waiting = 0
        if is_sqlite:
            # Asks for the write lock, which is what others wait for.
            connection.exec_driver_sql("begin immediate")
            size = _count(connection, _SQLITE_SIZE)
        else:
            size = _count(connection, "select pg_database_size(current_database())")
            waiting = _count(connection, _WAITING, wait=spec.lock_wait.total_seconds())
        seconds = time.perf_counter() - began
        # The lock is not kept while the rest is looked at.
        connection.rollback()
        found = revision_of(connection) if spec.revision else None
    problems = []
    if waiting:
        problems.append((Status.WARNING, f"{waiting} connections wait for a lock"))
    if spec.revision and found != spec.revision:
        what = f"at migration {found or 'none'}, not {spec.revision}"
        problems.append((Status.UNHEALTHY, what))
    if spec.largest is not None and size > spec.largest:
        what = f"larger than {format_size(spec.largest)}"
        problems.append((Status.WARNING, what))
    summary = "; ".join(what for _, what in problems) or "answers"
    detail = f"{summary} ({format_size(size)}, {seconds * 1000:.1f} ms)"
    status = worst([Status.HEALTHY, *(status for status, _ in problems)])
    issue = Issue.DATABASE_LOCK if waiting else None
    data = {"bytes": size, "seconds": seconds}
    return Health(status, detail, data, issue, "database")


_SQLITE_SIZE = "select page_count * page_size from pragma_page_count, pragma_page_size"
# Those that wait longer than the plan allows: a moment's wait is everyday life.
_WAITING = (
    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and "
    "datname = current_database() and now() - state_change > make_interval(secs => :wait)"
)


def _count(connection: Connection, query: str, **values: float) -> int:
    return int(connection.execute(text(query), values).scalar() or 0)
