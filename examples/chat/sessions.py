"""The conversations in one database, which both systems use: users who are moved keep them.

A message is answered once, whoever is asked how often: its turn is written in one transaction under
the message's id. Each turn carries the state of the conversation after it, a digest over all turns
so far, so that a client can tell whether anything was lost, doubled or exchanged.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LEASE_SECONDS = 2.0
"""So long an accepted message or a callback is whoever's took it; then anybody may do it."""
_TABLES = """
CREATE TABLE IF NOT EXISTS turns (
  conversation TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, question TEXT NOT NULL,
  answer TEXT NOT NULL, topic TEXT NOT NULL, sources TEXT NOT NULL, state TEXT NOT NULL,
  system TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (conversation, number), UNIQUE (conversation, id));
CREATE INDEX IF NOT EXISTS turns_at ON turns (at);
CREATE TABLE IF NOT EXISTS accepted (
  conversation TEXT NOT NULL, id TEXT NOT NULL, question TEXT NOT NULL, taken_at REAL NOT NULL,
  PRIMARY KEY (conversation, id));
CREATE TABLE IF NOT EXISTS callbacks (
  conversation TEXT NOT NULL, id TEXT NOT NULL, url TEXT NOT NULL, taken_at REAL NOT NULL,
  is_done INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (conversation, id));
CREATE TABLE IF NOT EXISTS retired (system TEXT PRIMARY KEY);
"""


@dataclass(frozen=True, slots=True)
class Turn:
    """A question with its answer, and the conversation's state after it.

    Args:
        conversation: Name of the conversation.
        number: Which turn of it this is, from 1.
        id: The message's id, chosen by the client.
        question: What the user wrote.
        answer: What was said to it.
        topic: What the conversation is about now.
        sources: Where the answer is from, one a line.
        state: Digest over all turns so far.
        system: Which system answered.
    """

    conversation: str
    number: int
    id: str
    question: str
    answer: str
    topic: str
    sources: str
    state: str
    system: str

    def as_json(self) -> dict[str, Any]:
        """Return it as clients get it; who answered stands in the answer's headers."""
        fields = asdict(self)
        del fields["system"], fields["question"]
        return {**fields, "sources": self.sources.splitlines()}


def next_state(state: str, number: int, id_: str, answer: str) -> str:
    """Return the state of a conversation after a turn; clients reckon it themselves."""
    text = f"{state}|{number}|{id_}|{answer}"
    return hashlib.sha256(text.encode()).hexdigest()[:20]


class Sessions:
    """The database of conversations.

    Args:
        path: File of the database; both systems are given the same one.
        system: Which system writes here.
    """

    def __init__(self, path: Path, system: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._system = system
        self._database = sqlite3.connect(
            path, isolation_level=None, timeout=5, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_TABLES)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def turns(self, conversation: str, after: int = 0) -> list[Turn]:
        """Return the turns of a conversation after number `after`, in order."""
        rows = self._database.execute(
            f"{_SELECT} WHERE conversation = ? AND number > ? ORDER BY number",
            (conversation, after))
        return [Turn(*row) for row in rows]

    def turn(self, conversation: str, id_: str) -> Turn | None:
        """Return the turn of a message; None while it has none."""
        row = self._database.execute(
            f"{_SELECT} WHERE conversation = ? AND id = ?",
            (conversation, id_)).fetchone()
        return Turn(*row) if row else None

    def before(self, conversation: str, id_: str | None = None) -> Turn | None:
        """Return the newest turn; with the id of an answered message the turn before that one."""
        rows = self._database.execute(
            _BEFORE, (conversation, conversation, id_ or ""))
        row = rows.fetchone()
        return Turn(*row) if row else None

    def save(self, turn: Turn, callback: str = "") -> Turn:
        """Save a turn after the newest one and return it; the one there is, if there is one.

        Args:
            turn: What was said; its number and state are set here.
            callback: Address that is to be told of it; empty for none.
        """
        with self._writing() as database:
            known = self.turn(turn.conversation, turn.id)
            if known is not None:
                return known
            saved = following(self.before(turn.conversation), turn, self._system)
            database.execute(
                _INSERT,
                (*(getattr(saved, name) for name in _NAMES), time.time()))
            database.execute("DELETE FROM accepted WHERE conversation = ? AND id = ?",
                             (turn.conversation, turn.id))
            if callback:
                database.execute("INSERT OR IGNORE INTO callbacks VALUES (?, ?, ?, 0, 0)",
                                 (turn.conversation, turn.id, callback))
        return saved

    def accept(self, conversation: str, id_: str, question: str) -> bool:
        """Note a message that is answered later; return whether it is this caller's to answer."""
        with self._writing() as database:
            if self.turn(conversation, id_) is not None:
                return False
            before = time.time() - LEASE_SECONDS
            found = database.execute(
                "INSERT INTO accepted VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
                "SET taken_at = excluded.taken_at WHERE taken_at < ?",
                (conversation, id_, question, time.time(), before))
            return found.rowcount == 1

    def left_over(self) -> list[tuple[str, str, str]]:
        """Return accepted messages that nobody answered in time: (conversation, id, question)."""
        before = time.time() - LEASE_SECONDS
        return self._database.execute(
            "SELECT conversation, id, question FROM accepted WHERE taken_at < ?", (before,)
        ).fetchall()

    def due_callbacks(self) -> list[tuple[str, str, str]]:
        """Return callbacks that nobody made in time: (conversation, id, url)."""
        before = time.time() - LEASE_SECONDS
        return self._database.execute(
            "SELECT c.conversation, c.id, c.url FROM callbacks c JOIN turns t "
            "ON t.conversation = c.conversation AND t.id = c.id "
            "WHERE c.is_done = 0 AND c.taken_at < ? AND t.at < ?", (before, before)).fetchall()

    def take_callback(self, conversation: str, id_: str) -> bool:
        """Take the right to make a callback; return whether it was free."""
        before = time.time() - LEASE_SECONDS
        found = self._database.execute(
            "UPDATE callbacks SET taken_at = ? WHERE conversation = ? AND id = ? AND is_done = 0 "
            "AND taken_at < ?", (time.time(), conversation, id_, before))
        return found.rowcount == 1

    def end_callback(self, conversation: str, id_: str) -> None:
        """Note that a callback was made: it is never made again."""
        self._database.execute(
            "UPDATE callbacks SET is_done = 1 WHERE conversation = ? AND id = ?",
            (conversation, id_))

    def retire(self) -> None:
        """Note that this system answers nobody any more, also after its next start."""
        self._database.execute("INSERT OR IGNORE INTO retired VALUES (?)", (self._system,))

    @property
    def is_retired(self) -> bool:
        """Whether this system was retired."""
        row = self._database.execute(
            "SELECT 1 FROM retired WHERE system = ?", (self._system,)).fetchone()
        return row is not None

    def answered(self, system: str, since: float, until: float) -> int:
        """Return how many messages were answered from `since` to `until` (Unix seconds).

        Args:
            system: By which system; empty for all.
            since: First moment.
            until: First moment that does not count.
        """
        row = self._database.execute(
            "SELECT count(*) FROM turns WHERE at >= ? AND at < ? AND (system = ? OR ? = '')",
            (since, until, system, system)).fetchone()
        return int(row[0])


_NAMES = ("conversation", "number", "id", "question", "answer", "topic", "sources", "state",
          "system")
# of the names above only: nothing that a client sends is in these texts
_SELECT = f"SELECT {', '.join(_NAMES)} FROM turns"  # noqa: S608
_BEFORE = " ".join((
    _SELECT, "WHERE conversation = ? AND number < coalesce((",
    "SELECT number FROM turns WHERE conversation = ? AND id = ?), 1000000000)",
    "ORDER BY number DESC LIMIT 1"))
_INSERT = f"INSERT INTO turns ({', '.join(_NAMES)}, at) VALUES (?,?,?,?,?,?,?,?,?,?)"  # noqa: S608


def following(last: Turn | None, turn: Turn, system: str) -> Turn:
    """Return a turn with the number and the state that it has after the turn `last`."""
    number = last.number + 1 if last else 1
    state = next_state(last.state if last else "", number, turn.id, turn.answer)
    return Turn(turn.conversation, number, turn.id, turn.question, turn.answer, turn.topic,
                turn.sources, state, system)
