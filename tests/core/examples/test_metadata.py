"""The example pair: two real parsers over the real documents of this machine."""

from __future__ import annotations

import re

import pytest

from examples.metadata import baseline, candidate, corpus


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    """Every document found here."""
    return corpus.load()


def test_corpus_is_real_stable_and_addressable(documents: dict[str, str]) -> None:
    """Every installed distribution is a document, in the same order each time."""
    assert len(documents) > 30
    assert list(corpus.load()) == list(documents)
    assert all(re.fullmatch(r"[a-z0-9._-]+", key) for key in documents)


def test_both_parsers_understand_every_document(documents: dict[str, str]) -> None:
    """Neither fails, and both agree on what kind of document it is."""
    for text in documents.values():
        assert baseline.parse(text)["kind"] == candidate.parse(text)["kind"]


def test_the_parsers_truly_differ_in_places(documents: dict[str, str]) -> None:
    """They agree on most documents' names and differ on many documents in something."""
    differing = sum(baseline.parse(t) != candidate.parse(t) for t in documents.values())
    assert 0 < differing < len(documents)


def test_a_comment_in_an_example_is_a_heading_for_the_old_parser_only() -> None:
    """One of the differences, made visible."""
    text = "Name: x\nVersion: 1.0\n\n# Title\n```\n# comment\n```\n"
    assert baseline.parse(text)["description"]["headings"] == ["Title", "comment"]
    assert candidate.parse(text)["description"]["headings"] == ["Title"]
