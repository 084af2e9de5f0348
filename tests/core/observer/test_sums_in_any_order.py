"""Whatever is sent, summed up and deleted in whatever order: a gate reads a plain sum."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from changeover.store.engine import Store
from tests.support.ready_store import ready_store
from tests.support.sums import GATEWAYS, Ledger, Operation, operations

_numbers = itertools.count()


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all examples, each with a migration of its own."""
    path = tmp_path_factory.mktemp("sums") / "store.db"
    store = ready_store(f"sqlite:///{path}")
    yield store
    store.close()


@settings(max_examples=20)  # each takes a second of CPU
@given(asked=operations)
def test_sums_are_plain_sums_in_any_order(database: Store, asked: list[Operation]) -> None:
    """Nothing counts twice at any moment, and everything once in the end."""
    ledger = Ledger(database, f"shop-{next(_numbers)}")
    for each in asked:
        ledger.do(each)
        found, plain = ledger.window(), ledger.plain()
        assert all(found.errors.get(name, 0) <= plain.errors.get(name, 0) for name in GATEWAYS)
        assert found.requests <= plain.requests
        assert found.compared == ledger.compared
    ledger.finish()
    found, plain = ledger.window(), ledger.plain()
    for name in ("requests", "arrived", "errors", "statuses", "latency", "answer_logs", "users"):
        wanted = plain.requests if name == "arrived" else getattr(plain, name)
        assert getattr(found, name) == wanted, name
    assert found.compared == ledger.compared
    assert found.watched <= plain.watched
    assert ledger.seconds() == 0
