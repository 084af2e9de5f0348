"""The worst verdict wins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from changeover.domain.verdict import Verdict, worst

VERDICTS = st.lists(st.sampled_from(list(Verdict)))


@given(VERDICTS, st.randoms())
def test_worst_does_not_depend_on_the_order(verdicts: list[Verdict], random: object) -> None:
    """The same verdicts in another order give the same worst one."""
    shuffled = list(verdicts)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert worst(verdicts) is worst(shuffled)


@given(VERDICTS)
def test_worst_is_a_pass_only_when_every_verdict_is(verdicts: list[Verdict]) -> None:
    """A pass needs at least one verdict, and all of them passing."""
    is_all_pass = bool(verdicts) and set(verdicts) == {Verdict.PASS}
    assert (worst(verdicts) is Verdict.PASS) == is_all_pass


@given(VERDICTS)
def test_worst_is_a_fail_whenever_one_verdict_is(verdicts: list[Verdict]) -> None:
    """One failure fails the whole."""
    assert (worst(verdicts) is Verdict.FAIL) == (Verdict.FAIL in verdicts)


def test_worst_of_nothing_is_inconclusive() -> None:
    """Nothing judged is never a pass."""
    assert worst([]) is Verdict.INCONCLUSIVE
