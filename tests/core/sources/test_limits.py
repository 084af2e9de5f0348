"""What takes too long is given up, and a source that answers nothing is asked no further."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from changeover.sources.answer import NoAnswer
from changeover.sources.limits import MOST_UNANSWERED, within


def problem(key: str, ask: Callable[[], object]) -> str:
    with pytest.raises(NoAnswer) as none:
        within(0.05, key, ask)
    return none.value.problem


def test_a_source_with_too_many_open_questions_is_not_asked() -> None:
    """Until one of them ends: nobody starts threads for ever."""
    released = threading.Event()
    before = threading.active_count()
    for _ in range(MOST_UNANSWERED):
        assert problem("stuck", released.wait) == "no answer within 0.05 s"
    for _ in range(3):
        assert problem("stuck", released.wait) == "4 questions to it are not answered yet"
    assert threading.active_count() <= before + MOST_UNANSWERED
    assert within(60, "another", lambda: 7) == 7
    released.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(1)
    assert within(60, "stuck", lambda: 7) == 7


def test_what_was_given_up_is_told_so() -> None:
    """So that it can end what it waits for."""
    released = threading.Event()
    with pytest.raises(NoAnswer):
        within(0.05, "told", released.wait, released.set)
    assert released.is_set()


def test_a_fault_is_the_callers() -> None:
    """Whatever it is."""
    def fail() -> None:
        raise KeyError("no such column")

    with pytest.raises(KeyError):
        within(60, "failing", fail)
