"""Which role may do what to which table, and the SQL that grants it on PostgreSQL.

Each process and person has a role of its own, with the rights that its work needs and no others.
Tests hold this table: every table is here, no right is for a table that is not there, and each role
does its real work with what is printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import func, select

from changeover.errors import StoreError
from changeover.store.engine import Store
from changeover.store.schema import METADATA

VERSION_TABLE = "alembic_version"
SECRET = frozenset({
    "approver_code", "approver_token", "console_form", "console_session", "console_token"})
"""Digests of tokens, and what signs people in: of no use to those who only read."""
_ORDER = {"I": "INSERT", "U": "UPDATE", "D": "DELETE"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}")

# a lock on a row is a right to change it: PostgreSQL asks UPDATE of whoever locks
_AUDIT = {"audit_event": "I", "audit_head": "IU"}
_LIFE = {"heartbeat": "IU"}
_MEASURES = {
    "bucket_log_place": "IU", "bucket_slice": "IUD", "minute_seconds": "IUD", "sample": "IUD",
    "slow_bound": "IU", "user_first_error": "IU"}
_ROLLS_BACK = {
    "carrier": "IUD", "cutover": "U", "flag": "IUD", "flag_change": "I", "followed": "IU",
    "message": "IU", "publication": "I", "rollback": "IU", "routing_state": "U", "stage": "U",
    "step": "IU", "wanted_rollback": "IU"}
_DECIDES = {
    "approval": "IU", "approver_code": "IU", "approver_token": "U", "console_token": "U",
    "cutover": "IU", "freeze": "IU", "instruction": "IU", "message": "IU", "stage": "IU",
    "step": "IU"}


@dataclass(frozen=True, slots=True)
class Rights:
    """What one role may do.

    Args:
        whose: Who has the role, in words.
        writes: By table: I insert, U update and lock, D delete.
        reads: The tables that it reads; None for all without secrets.
        secrets: Tables with secrets that it reads besides.
    """

    whose: str
    writes: Mapping[str, str] = field(default_factory=dict)
    reads: frozenset[str] | None = None
    secrets: frozenset[str] = frozenset()

    def readable(self) -> set[str]:
        """Return the tables that it may read."""
        found = set(METADATA.tables) - SECRET if self.reads is None else set(self.reads)
        # a change of what may not be found is of no use
        return found | self.secrets | set(self.writes) | {VERSION_TABLE}


def _joined(*parts: Mapping[str, str]) -> dict[str, str]:
    """Return the rights of several parts together."""
    found: dict[str, set[str]] = {}
    for part in parts:
        for table, verbs in part.items():
            found.setdefault(table, set()).update(verbs)
    return {table: "".join(verb for verb in _ORDER if verb in verbs)
            for table, verbs in found.items()}


ROLES: dict[str, Rights] = {
    "node": Rights(
        "a gateway node: its row and what it measures, and no decision",
        {"gateway_node": "IUD", "sample": "IUD", "minute_seconds": "IU", "bucket_slice": "IU",
         "bucket_log_place": "IU", "slow_bound": "IU", "user_first_error": "IU"},
        reads=frozenset({"migration", "routing_state", "user_list"})),
    "observer": Rights(
        "an observer: measures, judges triggers and gates, rolls back, tells people",
        _joined(_AUDIT, _LIFE, _MEASURES, _ROLLS_BACK, {
            "gate_course": "IU", "gate_standing": "IU", "gateway_node": "U", "health_result": "D",
            "main_gateway": "IU", "observer_lead": "IU", "outcome": "D", "outcome_sum": "D",
            "relay": "IUD", "repair": "IU", "shared_file": "IUD", "suite_run": "U",
            "trigger_firing": "IU",
            "trigger_standing": "IUD"})),
    "console": Rights(
        "the console: pages, what applications ask and report, and what people do there",
        _joined(_AUDIT, _LIFE, _ROLLS_BACK, _DECIDES, {
            "bucket_slice": "IU", "claim": "IUD", "console_form": "IUD", "console_session": "IUD",
            "outcome": "IUD", "outcome_sum": "IUD"}),
        secrets=SECRET),
    "shadow": Rights(
        "the shadow service: comparisons and what differs",
        {"comparison": "IUD", "divergence": "IUD", "divergence_count": "IUD", "heartbeat": "IUD",
         "sample": "IU", "shadow_coverage": "IUD"}),
    "worker": Rights(
        "a worker's flows: the procedures from the first stage to the retirement",
        _joined(_AUDIT, _LIFE, _ROLLS_BACK, _DECIDES, {
            "comparison": "IU", "divergence": "IU", "gate_verdict": "I", "gate_verdict_sums": "I",
            "health_result": "IU", "migration": "IU", "repair": "IU", "report": "I",
            "routing_state": "IU", "shadow_coverage": "IU", "shared_file": "IU", "slow_bound": "IU",
            "suite_check": "I", "suite_run": "IU", "user_list": "ID"}),
        secrets=frozenset({"approver_code", "approver_token"})),
    "approver": Rights(
        "a person who approves and steers a running cutover by the command line",
        _joined(_AUDIT, _DECIDES, {"migration": "U", "user_list": "ID"}),
        secrets=frozenset({"approver_code", "approver_token"})),
    "reader": Rights("a person or a program that only reads: status, history, verdicts, exports"),
    "main": Rights(
        "the whole of `changeover up` under one role, and people who may do everything; it owns "
        "no table, so `changeover store upgrade` needs the owner",
        {table: "IUD" for table in METADATA.tables} | {"audit_event": "I"},
        secrets=SECRET),
}
"""Every role by its name."""


def grants(role: str, to: str) -> list[str]:
    """Return the statements that give a role of PostgreSQL exactly a role's rights.

    Args:
        role: One of `ROLES`.
        to: The role of PostgreSQL, which exists.

    Raises:
        ValueError: It is no name of a role.
    """
    if not _NAME.fullmatch(to):
        raise ValueError(f"{to!r} is no name of a role")
    rights, quoted = ROLES[role], f'"{to}"'
    every = {*METADATA.tables, VERSION_TABLE}
    numbered = _sequences(sorted(every))
    found = [f"REVOKE ALL ON {_names(every)} FROM {quoted};",
             f"REVOKE ALL ON SEQUENCE {_names(numbered.values())} FROM {quoted};",
             f"GRANT SELECT ON {_names(rights.readable())} TO {quoted};"]
    by_verbs: dict[str, list[str]] = {}
    for table, verbs in sorted(rights.writes.items()):
        by_verbs.setdefault(verbs, []).append(table)
    for verbs, tables in sorted(by_verbs.items()):
        words = ", ".join(_ORDER[verb] for verb in verbs)
        if words:
            found.append(f"GRANT {words} ON {_names(tables)} TO {quoted};")
    given = [numbered[table] for table, verbs in sorted(rights.writes.items())
             if "I" in verbs and table in numbered]
    if given:
        found.append(f"GRANT USAGE ON SEQUENCE {_names(given)} TO {quoted};")
    return found


def require_writing(store: Store, role: str, *, next_step: str) -> None:
    """Raise unless the store's user may add to and change what a role does.

    Args:
        store: The store; on SQLite whoever opens it may do everything.
        role: One of `ROLES`.
        next_step: What a person should do who reads that it may not.

    Raises:
        StoreError: It may not.
    """
    if store.engine.dialect.name == "sqlite":
        return
    wanted = [(table, _ORDER[verb]) for table, verbs in sorted(ROLES[role].writes.items())
              for verb in verbs if verb in "IU"]
    with store.read() as session:
        user = session.scalar(select(func.current_user()))
        may = session.execute(select(*(
            func.has_table_privilege(f'"{table}"', verb) for table, verb in wanted))).one()
    missing = sorted({table for (table, _), is_given in zip(wanted, may, strict=True)
                      if not is_given})
    if missing:
        raise StoreError(f"the database's user {user} may not write {', '.join(missing)}",
                         next_step=next_step)


def _names(tables: Iterable[str]) -> str:
    """Return names for SQL, quoted: `freeze` is a word of PostgreSQL's own."""
    return ", ".join(f'"{table}"' for table in sorted(tables))


def _sequences(tables: list[str]) -> dict[str, str]:
    """Return the counter of each table whose rows the database numbers."""
    return {
        table: f"{table}_{column.name}_seq" for table in tables if table in METADATA.tables
        for column in METADATA.tables[table].primary_key if column.autoincrement is True}
