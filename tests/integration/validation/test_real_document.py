"""Compatibility of the OpenAPI document of a large service: Prefect's own server."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from changeover.checks.openapi.compatibility import incompatibilities
from tests.support.openapi_changes import narrowings

Json = dict[str, Any]
PLACES = 3
"""Places of the document that are tried for each kind of narrowing."""


@pytest.fixture(scope="module")
def large() -> Json:
    """Return the document of Prefect's own server: 550 kB, recursive, FastAPI's style."""
    from prefect.server.api.server import create_app  # here, not in each worker: it takes seconds

    found: Json = json.loads(json.dumps(create_app().openapi()))
    return found


def test_a_real_document_is_compatible_with_itself(large: Json) -> None:
    """A document accepts what it accepts, in a copy too."""
    assert incompatibilities(large, copy.deepcopy(large)) == []


def test_every_mechanical_narrowing_of_a_real_document_is_found(large: Json) -> None:
    """Each kind of narrowing in places spread over the document is found; undone, it is fine."""
    kinds: dict[str, list[tuple[str, Callable[[], Json]]]] = {}
    for name, narrower in narrowings(large):
        kinds.setdefault(_kind(name), []).append((name, narrower))
    assert len(kinds) >= 10, sorted(kinds)
    for places in kinds.values():
        spread = itertools.islice(places, 0, None, max(1, len(places) // PLACES))
        missed = [name for name, narrower in spread if not incompatibilities(large, narrower())]
        assert missed == []


def _kind(name: str) -> str:
    """Return what a narrowing does, without its place, field and bound."""
    said = name.rpartition(": ")[2]
    for word in ("required", "max"):
        if word in said:
            return word
    return said
