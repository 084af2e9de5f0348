"""Health of the machine: memory, disks, folders, databases, certificates."""

from __future__ import annotations

import errno
import os
import ssl
import tempfile
import time
from pathlib import Path

import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from changeover.checks.health.result import Health, by_level, worst
from changeover.checks.suites.data import database_url, revision_of
from changeover.checks.suites.security import certificate_left
from changeover.checks.suites.target import CheckTarget
from changeover.domain.health import Status
from changeover.plan.health import CertificateSpec, DatabaseHealthSpec, Issue, LevelSpec
from changeover.plan.units import format_duration, format_size, parse_address


def memory(spec: LevelSpec) -> Health:
    """Judge the share of memory in use."""
    return _level("memory", psutil.virtual_memory().percent, spec, Issue.MEMORY_PRESSURE)


def disk(spec: LevelSpec, place: Path) -> Health:
    """Judge the share of a disk's space and inodes in use, whichever is more."""
    used = psutil.disk_usage(str(place)).percent
    found = os.statvfs(place)
    # without a free inode no file can be made, however much space there is
    inodes = 100.0 * (1 - found.f_favail / found.f_files) if found.f_files else 0.0
    what = "inodes of the disk" if inodes > used else "disk"
    return _level(what, max(used, inodes), spec, Issue.DISK_FULL)


def _level(what: str, percent: float, spec: LevelSpec, issue: Issue) -> Health:
    status = by_level(percent, float(spec.warning), float(spec.critical))
    return Health(status, f"{what} {percent:.0f} % used", {"percent": percent},
                  issue if status is not Status.HEALTHY else None)


def folder(path: Path) -> Health:
    """Check that a file can be written into a folder, and remove it."""
    try:
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"x")
    except OSError as error:
        issue = Issue.DISK_FULL if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
        return Health(Status.CRITICAL, f"{path} cannot be written: {error.strerror}", {}, issue)
    return Health(Status.HEALTHY, f"{path} is writable")


def certificate(spec: CertificateSpec) -> Health:
    """Judge how long a certificate is still valid."""
    host, port = parse_address(spec.address)
    try:
        left = certificate_left(host, port, spec.ca_file)
    except ssl.SSLCertVerificationError as error:
        return Health(Status.CRITICAL, f"{spec.address} is not trusted: {error.verify_message}",
                      {}, Issue.CERTIFICATE_EXPIRY)
    except OSError as error:
        return Health(Status.CRITICAL, f"no TLS with {spec.address}: {error}", {},
                      Issue.SERVICE_DOWN)
    status = Status.CRITICAL if left < spec.critical else (
        Status.WARNING if left < spec.warning else Status.HEALTHY)
    return Health(status, f"valid for {format_duration(left)}",
                  {"seconds": left.total_seconds()},
                  None if status is Status.HEALTHY else Issue.CERTIFICATE_EXPIRY)


def database(spec: DatabaseHealthSpec, target: CheckTarget) -> Health:
    """Check that a database answers and grants a lock in time; judge its size and migration."""
    url = database_url(spec.database, target)
    wait = spec.lock_wait.total_seconds()
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and not os.path.exists(url.database or ""):  # noqa: PTH110  a URL's text
        return Health(Status.CRITICAL, "is not there", {}, Issue.SERVICE_DOWN, "database")
    options = {"timeout": wait} if is_sqlite else {
        "connect_timeout": 3, "options": f"-c lock_timeout={int(wait * 1000)}"}
    engine = create_engine(url, connect_args=options)
    try:
        return _database(spec, engine, is_sqlite=is_sqlite)
    except SQLAlchemyError as error:
        # The driver's own words: ours name locks in a query that may fail for another reason.
        is_locked = "lock" in str(getattr(error, "orig", "")).lower()
        detail = f"a lock was not granted within {wait:g} s" if is_locked else \
            f"cannot be used ({type(error).__name__})"
        return Health(Status.CRITICAL, detail, {}, Issue.DATABASE_LOCK if is_locked else
                      Issue.SERVICE_DOWN, "database")
    finally:
        engine.dispose()


def _database(spec: DatabaseHealthSpec, engine: Engine, *, is_sqlite: bool) -> Health:
    with engine.connect() as connection:
        began = time.perf_counter()
        if is_sqlite:  # asks for the write lock, which is what others wait for
            connection.exec_driver_sql("begin immediate")
            size = int(connection.execute(text(
                "select page_count * page_size from pragma_page_count, pragma_page_size"
            )).scalar() or 0)
            waiting = 0
        else:
            size = int(connection.execute(text(
                "select pg_database_size(current_database())")).scalar() or 0)
            waiting = int(connection.execute(text(
                "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and "
                "datname = current_database() and "
                "now() - state_change > make_interval(secs => :wait)"
            ), {"wait": spec.lock_wait.total_seconds()}).scalar() or 0)
        seconds = time.perf_counter() - began
        connection.rollback()
        found = revision_of(connection) if spec.revision else None
    problems = [(Status.WARNING, f"{waiting} connections wait for a lock")] if waiting else []
    if spec.revision and found != spec.revision:
        problems.append((Status.UNHEALTHY, f"at migration {found or 'none'}, not {spec.revision}"))
    if spec.largest is not None and size > spec.largest:
        problems.append((Status.WARNING, f"larger than {format_size(spec.largest)}"))
    summary = "; ".join(what for _, what in problems) or "answers"
    return Health(
        worst([Status.HEALTHY, *(status for status, _ in problems)]),
        f"{summary} ({format_size(size)}, {seconds * 1000:.1f} ms)",
        {"bytes": size, "seconds": seconds}, Issue.DATABASE_LOCK if waiting else None, "database")
