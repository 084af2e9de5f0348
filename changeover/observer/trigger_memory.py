"""What triggers remember, in the store: an observer that was killed goes on where it stopped.

1. After a second was judged, and after what fired in it was carried out, all states are noted as
   of that second. A rollback that still waits keeps the note older.
2. Another thread saves the newest note every two seconds, after the firings that are in it.
3. A restart takes the states, and judges the seconds after them again, from stored samples and the
   access log. So a kill neither resets a trigger nor loses a rollback that was due, and what it
   announced before is not announced again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from changeover import clock
from changeover.analysis.trigger import Judged, TriggerState
from changeover.domain.rollbacks import TriggerStanding
from changeover.observer.watch import Watch
from changeover.site.site import Site
from changeover.store import trigger_standings


@dataclass(frozen=True, slots=True)
class Note:
    """What was known when `second` was judged.

    Args:
        second: Unix second.
        since: The second at which windows begin at the earliest.
        users_epoch: The routing's epoch while users were on the candidate; None when none were.
        states: What each trigger remembers.
        judged: What the second said of each trigger's condition.
        begun: The second at which windows of some triggers begin, since their segment moved.
        moved: The segments that had a place of their own (`Watch.moved`).
    """

    second: int
    since: int
    users_epoch: int | None
    states: Mapping[str, TriggerState]
    judged: Mapping[str, Judged]
    begun: Mapping[str, int]
    moved: frozenset[str]


class TriggerMemory:
    """Filled by the observer's loop, saved by the thread that writes to the store.

    Args:
        site: The migration on this machine.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._lock = threading.Lock()
        self._note: Note | None = None

    def note(self, watch: Watch, second: int, users_epoch: int | None) -> None:
        """Remember how the triggers stand after a second was judged."""
        note = Note(second, watch.since, users_epoch, watch.states, watch.judged,
                    watch.begun, watch.moved)
        with self._lock:
            self._note = note

    def save(self, save_firings: Callable[[], None]) -> None:
        """Save the newest note, if it is new.

        Args:
            save_firings: Saves what fired until the note. It comes first: a kill between the two
                would lose a firing that the note says was made.

        Raises:
            StoreError: The store cannot be written; the next note replaces this one.
        """
        # popped: the next call saves nothing unless a newer one was noted
        with self._lock:
            note, self._note = self._note, None
        if note is None:
            return
        save_firings()
        migration = self._site.migration
        trigger_standings.save(self._site.store, migration, [
            _standing(migration, name, state, note) for name, state in note.states.items()])

    def load(self) -> Note | None:
        """Return what was saved last; None when nothing was.

        Raises:
            StoreError: The store cannot be read.
        """
        found = trigger_standings.all_of(self._site.store, self._site.migration)
        if not found:
            return None
        states = {each.trigger: TriggerState(**each.state["state"]) for each in found}
        known = found[0].state  # the same of all
        begun = {each.trigger: each.state["begun"] for each in found if each.state.get("begun")}
        return Note(known["second"], known["since"], known["users_epoch"], states, {}, begun,
                    frozenset(known.get("moved", ())))


def _standing(migration: str, name: str, state: TriggerState, note: Note) -> TriggerStanding:
    stands, since = state.stands
    judged = note.judged.get(name) or Judged(None, None, "not judged yet")
    return TriggerStanding(
        migration, name, at=clock.from_timestamp(note.second + 1), stands=stands,
        since=None if since is None else clock.from_timestamp(since), value=judged.value,
        reason=judged.reason, evidence=dict(judged.numbers),
        state={"state": state.document(), "second": note.second, "since": note.since,
               "users_epoch": note.users_epoch, "begun": note.begun.get(name, 0),
               "moved": sorted(note.moved)})
