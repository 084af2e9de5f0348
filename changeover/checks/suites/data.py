"""Checks of databases: one can be used, two have the same rows."""

from __future__ import annotations

import os
import time
import uuid
from dataclasses import asdict

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from changeover.checks.suites.result import CheckResult, Report, judged
from changeover.checks.suites.target import CheckTarget
from changeover.plan import suites
from changeover.plan.addresses import database_address
from changeover.plan.suites import DatabaseCheck, DataConsistencyCheck
from changeover.tablediff.consistency import Columns, TableRef, compare_tables

_SHOWN = 20
_MOST_FOUND = 1000
"""Differences after which the search ends, unless the plan allows as many."""


def database_url(ref: suites.DatabaseRef, target: CheckTarget) -> URL:
    """Return a database's URL; a relative SQLite file lies beside the plan.

    Raises:
        InvalidInput: Its variable is not set, or it is no URL.
    """
    return database_address(ref, target.folder)


def check_database(spec: DatabaseCheck, target: CheckTarget) -> CheckResult:
    """Connect; check tables, revision and whether a row can be written."""
    url = database_url(spec.database, target)
    name = url.render_as_string(hide_password=True)
    seconds = spec.within.total_seconds()
    if url.get_backend_name() == "sqlite":
        if not os.path.exists(url.database or ""):  # noqa: PTH110  a URL's text, not a path
            return judged([f"{name} is not there"], "")
        engine = create_engine(url, connect_args={"timeout": seconds})
    else:
        # libpq waits for whole seconds, and not for fewer than 2.
        whole = max(2, int(seconds))
        engine = create_engine(url, connect_args={"connect_timeout": whole})
    try:
        return _examined(spec, engine, name)
    # Only its type: the driver's text may contain the address with its password.
    except SQLAlchemyError as error:
        return judged([f"{name} cannot be used ({type(error).__name__})"], "")
    finally:
        engine.dispose()


def _examined(spec: DatabaseCheck, engine: Engine, name: str) -> CheckResult:
    began = time.perf_counter()
    with engine.connect() as connection:
        connection.execute(text("select 1"))
        seconds = time.perf_counter() - began
        problems = []
        if seconds > spec.within.total_seconds():
            problems.append(f"connecting took {seconds:.2f} s")
        missing = set(spec.tables) - set(inspect(connection).get_table_names())
        problems += [f"table {table} is missing" for table in sorted(missing)]
        if spec.revision and (found := revision_of(connection)) != spec.revision:
            problems.append(f"is at migration {found or 'none'}, not {spec.revision}")
    if spec.writable and (problem := _write(engine)):
        problems.append(problem)
    took = seconds * 1000
    return judged(problems, f"{name} answers after {took:.1f} ms", milliseconds=round(took, 2))


def revision_of(connection: Connection) -> str:
    """Return the Alembic revision of a database; empty when it has none."""
    try:
        query = text("select version_num from alembic_version")
        return str(connection.execute(query).scalar())
    except SQLAlchemyError:
        # PostgreSQL refuses everything after an error until the transaction is ended.
        connection.rollback()
        return ""


def _write(engine: Engine) -> str:
    """Write a row into a table of our own and undo both; return why that is not possible."""
    table = f"changeover_probe_{uuid.uuid4().hex[:8]}"
    connection = engine.connect()
    try:
        # `pysqlite` begins no transaction before DDL.
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("begin immediate")
        connection.execute(text(f"create table {table} (x integer)"))
        connection.execute(text(f"insert into {table} values (1)"))  # noqa: S608  our own name
    except SQLAlchemyError as error:
        return f"cannot be written ({type(error).__name__})"
    finally:
        connection.rollback()
        connection.close()
    return ""


def _table(ref: suites.TableRef, target: CheckTarget) -> TableRef:
    url = database_url(ref, target).render_as_string(hide_password=False)
    return TableRef(url, ref.table)


def check_data_consistency(
    spec: DataConsistencyCheck, target: CheckTarget, report: Report
) -> CheckResult:
    """Find every row that only one side has or that differs."""
    baseline = _table(spec.baseline, target)
    candidate = _table(spec.candidate, target)
    columns = Columns(spec.key, spec.columns, spec.ignore, spec.mask)
    # One more than is allowed has to be found, or the search would end before it is too many.
    found = compare_tables(
        baseline, candidate, columns, most=max(_MOST_FOUND, spec.differences + 1),
        progress=lambda done, total: report(done / max(1, total)),
    )
    ours, theirs = len(found.only_baseline), len(found.only_candidate)
    changed = len(found.differing)
    number = ours + theirs + changed
    at_least = "" if found.is_complete else "at least "
    summary = (
        f"{at_least}{number} rows differ ({ours} only at the baseline, "
        f"{theirs} only at the candidate, {changed} changed); "
        f"{found.baseline_rows} and {found.candidate_rows} rows")
    is_fine = number <= spec.differences and found.is_complete
    return judged(
        [] if is_fine else [summary], summary,
        rows=[found.baseline_rows, found.candidate_rows],
        only_baseline=list(found.only_baseline[:_SHOWN]),
        only_candidate=list(found.only_candidate[:_SHOWN]),
        differing=[asdict(each) for each in found.differing[:_SHOWN]],
    )
