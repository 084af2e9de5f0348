"""Files that any machine may show: rendered reports, and `rollback.sh` with what it needs.

Whoever makes a file may be anywhere, and its disk may be gone tomorrow. A name is written again
whenever its content changes; contents are compressed.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import LargeBinary, String, and_, case, delete, func, not_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from changeover.domain.report_files import SharedFile
from changeover.errors import StoreError
from changeover.store.base import Base, NameKey, all_records, first_record
from changeover.store.engine import Store
from changeover.store.upserts import replace_in

LARGEST = 32 << 20
"""Bytes of a file; a report of 90 days and every chart has one or two million."""
MOST_BYTES = 256 << 20
"""Compressed, of a migration's reports: the oldest go first."""
LONGEST_NAME = 200
PRUNED_AT_ONCE = 100


class SharedFileRow(Base):
    """A file with its content."""

    __tablename__ = "shared_file"
    migration: Mapped[NameKey]
    name: Mapped[str] = mapped_column(String(LONGEST_NAME), primary_key=True)
    at: Mapped[datetime]
    size: Mapped[int]
    packed_size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    sent_to: Mapped[str] = mapped_column(server_default="")
    sent: Mapped[str] = mapped_column(String(64), server_default="")
    problem: Mapped[str] = mapped_column(server_default="")
    content: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


def save(
    store: Store, migration: str, contents: Mapping[str, bytes], *, now: datetime
) -> list[str]:
    """Save files, each in place of one of its name.

    Args:
        store: The store.
        migration: Whose files they are.
        contents: By their names.
        now: The present moment.

    Returns:
        The names of those that are too large, or whose names are too long, and are not saved.
    """
    fitting = {name: content for name, content in contents.items()
               if len(content) <= LARGEST and len(name) <= LONGEST_NAME}
    values = []
    for name, content in fitting.items():
        sha256 = hashlib.sha256(content).hexdigest()
        # compressed before the transaction, in which others wait
        packed = zlib.compress(content, 6)
        values.append({
            "migration": migration, "name": name, "at": now, "size": len(content),
            "packed_size": len(packed), "sha256": sha256, "content": packed})
    if values:
        with store.begin() as session:
            # where one was copied to stays: its digest tells that the new one was not
            replace_in(session, SharedFileRow.__table__, values, ("migration", "name"))
    return sorted(contents.keys() - fitting.keys())


def every(store: Store, migration: str) -> list[SharedFile]:
    """Return what there is, newest first, without contents."""
    query = select(SharedFileRow).where(SharedFileRow.migration == migration)
    return all_records(store, SharedFile, query.order_by(
        SharedFileRow.at.desc(), SharedFileRow.name))


def find(store: Store, migration: str, name: str) -> tuple[SharedFile, bytes] | None:
    """Return a file and its content; None when there is none of that name.

    Raises:
        StoreError: Its content is not what was written.
    """
    mine = (SharedFileRow.migration == migration, SharedFileRow.name == name)
    found = first_record(store, SharedFile, select(SharedFileRow).where(*mine))
    if found is None:
        return None
    with store.read() as session:
        # rewritten meanwhile, it has another digest: both are read in one look
        row: Any = session.execute(
            select(SharedFileRow.sha256, SharedFileRow.content).where(*mine)).first()
    if row is None:
        return None
    try:
        content = zlib.decompressobj().decompress(row.content, LARGEST)
    except zlib.error:
        content = b""
    if hashlib.sha256(content).hexdigest() != row.sha256:
        raise StoreError(f"the stored file {name} is damaged", where=store.url,
                         next_step="Render the report again with `changeover report`, or run "
                         "report/main")
    return found, content


def unsent(store: Store, migration: str, target: str, *, most: int) -> list[SharedFile]:
    """Return what does not lie at a target as it is now: the newest first, what failed last.

    What failed comes in any order, so that none of it waits for another one for ever.
    """
    is_there = and_(
        SharedFileRow.sent_to == target, SharedFileRow.sent == SharedFileRow.sha256)
    has_failed = SharedFileRow.problem != ""
    query = select(SharedFileRow).where(SharedFileRow.migration == migration, not_(is_there))
    return all_records(store, SharedFile, query.order_by(
        case((has_failed, 1), else_=0), case((has_failed, func.random()), else_=0),
        SharedFileRow.at.desc(), SharedFileRow.name).limit(most))


def note_sent(store: Store, file: SharedFile, target: str, *, problem: str = "") -> None:
    """Note that a file's content lies at a target, or why not.

    Written anew meanwhile, the file still has to be copied: its own digest is another one.
    """
    values: dict[str, Any] = {"problem": problem}
    if not problem:
        values |= {"sent_to": target, "sent": file.sha256}
    with store.begin(is_durable=False) as session:
        session.execute(
            update(SharedFileRow)
            .where(SharedFileRow.migration == file.migration, SharedFileRow.name == file.name)
            .values(**values).execution_options(synchronize_session=False))


def prune(
    store: Store, migration: str, *, before: datetime, most: int = MOST_BYTES, running: str = ""
) -> int:
    """Delete files that are older, and the oldest reports beyond a size; return how many.

    Args:
        store: The store.
        migration: Whose files they are.
        before: What was written before it goes.
        most: Compressed bytes of all reports; what else there is, as `rollback.sh`, does not count.
        running: The cutover that runs, as `cutover-7`: its files stay; empty for none.
    """
    own = re.compile(rf"(rollback/)?{re.escape(f'{migration}-{running}')}(?!\d)")
    sizes = select(SharedFileRow.name, SharedFileRow.at, SharedFileRow.packed_size).where(
        SharedFileRow.migration == migration).order_by(SharedFileRow.at.desc(), SharedFileRow.name)
    total, doomed = 0, []
    with store.read() as session:
        for row in session.execute(sizes):
            is_report = "/" not in row.name
            total += row.packed_size if is_report else 0
            is_doomed = row.at < before or (is_report and total > most)
            if is_doomed and not (running and own.match(row.name)):
                doomed.append((row.name, row.at))
    for name, at in doomed[-PRUNED_AT_ONCE:]:
        with store.begin(is_durable=False) as session:
            # written anew meanwhile, it is not old any more
            session.execute(delete(SharedFileRow).where(
                SharedFileRow.migration == migration, SharedFileRow.name == name,
                SharedFileRow.at == at).execution_options(synchronize_session=False))
    return len(doomed[-PRUNED_AT_ONCE:])
