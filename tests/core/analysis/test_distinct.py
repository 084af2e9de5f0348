"""How many users there were, from the 64 smallest of their numbers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.analysis import distinct
from changeover.analysis.distinct import NUMBERS, Users
from changeover.analysis.window import MOST_USERS, fewest


@given(st.sets(st.integers(0, NUMBERS - 1), max_size=MOST_USERS - 1))
def test_few_users_are_counted_exactly(numbers: set[int]) -> None:
    """As long as all of them are remembered."""
    assert distinct.count(fewest(numbers)) == Users(len(numbers), is_exact=True)


@pytest.mark.parametrize("many", [100, 5_000, 200_000])
def test_many_users_are_estimated_without_bias(many: int) -> None:
    """The mean of 200 estimates is within 4 % of the truth; one is within about 13 %."""
    chance, found = random.Random(many), []
    for _ in range(200):
        # the smallest of `many` even numbers, drawn one after the other
        highest, smallest = 1.0, []
        for place in range(MOST_USERS):
            left = many - place
            gap = 1 - chance.random() ** (1 / left)
            highest *= 1 - gap
            smallest.append(int((1 - highest) * NUMBERS))
        found.append(distinct.count(smallest).count)
    mean = sum(found) / len(found)
    assert abs(mean / many - 1) < 0.04


def test_numbers_are_said_with_the_digits_that_they_have() -> None:
    """What is estimated is said to be about so many."""
    assert Users(12_437, is_exact=False).text == "about 12,400 users"
    assert Users(1, is_exact=True).text == "1 user"
    assert Users(40, is_exact=True).part(0.25).text == "about 10 users"
