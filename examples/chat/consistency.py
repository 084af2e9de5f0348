"""Whether the conversations in the database are whole: `python -m examples.chat.consistency`.

Each conversation's turns must be numbered without a gap, each state must follow from the one
before, no message may wait for an answer, and every callback must have been made. Exit code 1 says
that anything is wrong; conversations and messages are counted in any case.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from itertools import groupby
from pathlib import Path

from examples.chat.sessions import LEASE_SECONDS, next_state
from examples.chat.web import database

SETTLES_SECONDS = 5 * LEASE_SECONDS
"""What is younger may still be under way."""


def problems(path: Path) -> tuple[list[str], int, int]:
    """Return what is wrong, how many conversations there are, and how many messages.

    Args:
        path: The database's file.
    """
    if not path.exists():
        return [f"there is no database {path.name}"], 0, 0
    # read only: whoever checks changes nothing
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
    try:
        rows = connection.execute(
            "SELECT conversation, number, id, answer, state FROM turns "
            "ORDER BY conversation, number").fetchall()
        old = time.time() - SETTLES_SECONDS
        waiting = connection.execute(
            "SELECT conversation, id FROM accepted WHERE taken_at < ?", (old,)).fetchall()
        callbacks = connection.execute(
            "SELECT c.conversation, c.id FROM callbacks c JOIN turns t USING (conversation, id) "
            "WHERE c.is_done = 0 AND t.at < ?", (old,)).fetchall()
    finally:
        connection.close()
    found, conversations = [], 0
    for name, turns in groupby(rows, key=lambda row: row[0]):
        conversations += 1
        found += _of(str(name), list(turns))
    found += [f"{name}: message {id_} was accepted and never answered" for name, id_ in waiting]
    found += [f"{name}: the callback for {id_} was never made" for name, id_ in callbacks]
    return found, conversations, len(rows)


def _of(name: str, turns: list[tuple[str, int, str, str, str]]) -> list[str]:
    """Return the first thing that is wrong with a conversation; what follows it is wrong, too."""
    before = ""
    for expected, (_, number, id_, answer, state) in enumerate(turns, 1):
        if number != expected:
            return [f"{name}: turn {expected} is missing"]
        if state != next_state(before, number, id_, answer):
            return [f"{name}: the state after turn {number} does not follow from the one before"]
        before = state
    return []


def main() -> int:
    """Print what was found and return the exit code."""
    found, conversations, messages = problems(database())
    for text in found[:50]:
        print(text)
    print(f"{conversations} conversations, {messages} messages, {len(found)} problems")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
