"""One score of many metrics, by weighted groups, and whether it is enough. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from changeover.analysis.mann_whitney.classify import Classification
from changeover.domain.verdict import Verdict

FULL = 100.0


@dataclass(frozen=True, slots=True)
class JudgedMetric:
    """A metric in a score.

    Args:
        name: Its name.
        classification: What was found.
        groups: Groups that it counts in.
        is_critical: Whether its failure is a critical one.
        is_muted: Whether it is shown only: it counts nowhere.
    """

    name: str
    classification: Classification
    groups: Sequence[str]
    is_critical: bool = False
    is_muted: bool = False


@dataclass(frozen=True, slots=True)
class GroupScore:
    """A group's score, 0..100; None in `passed` when nothing of it was measured."""

    name: str
    passed: float | None

    @property
    def score(self) -> float:
        """The score that is shown: a group without data has none, and shows 0."""
        return 0.0 if self.passed is None else self.passed


@dataclass(frozen=True, slots=True)
class Score:
    """The score of all metrics.

    Args:
        total: 0..100, rounded to two places.
        groups: The groups' scores, by name.
        reason: Why it is what it is.
    """

    total: float
    groups: tuple[GroupScore, ...]
    reason: str

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """Groups that count as passed although nothing of them was measured."""
        return tuple(each.name for each in self.groups if each.passed is None)


def score(metrics: Sequence[JudgedMetric], weights: Mapping[str, float]) -> Score:
    """Return the score of metrics.

    Args:
        metrics: What was found of each.
        weights: Weight of a group in percent; groups without one share the rest equally.

    Raises:
        ValueError: The weights are negative, or more than 100 together.
    """
    if min(weights.values(), default=0) < 0 or sum(weights.values()) > FULL:
        raise ValueError(f"weights {dict(weights)} must be 0 or more, and at most 100 together")
    counted = [each for each in metrics if not each.is_muted]
    groups = _groups(counted)
    failed = []
    for each in counted:
        if each.is_critical and each.classification is not Classification.PASS:
            failed.append(each.name)
    if failed:
        return Score(0.0, groups, f"critical: {', '.join(failed)}")
    missing = [each for each in counted if each.classification in _WITHOUT_DATA]
    # Kayenta's rule: half of the metrics say nothing of the whole.
    if 2 * len(missing) >= len(counted):
        reason = f"{len(missing)} of {len(counted)} metrics have no data"
        return Score(0.0, groups, reason)
    total = round(_weighted(groups, weights), 2)
    found = Score(total, groups, f"{len(groups)} groups")
    if not found.unmeasured:
        return found
    unmeasured = ", ".join(found.unmeasured)
    return Score(total, groups, f"{found.reason}; counted as passed without data: {unmeasured}")


def judge_scores(
    totals: Sequence[float], pass_score: float | None, marginal_score: float | None
) -> tuple[Verdict, str]:
    """Return the verdict of a stage's scores, in the order of their intervals, and its reason.

    Args:
        totals: Score of each interval so far, 0..100.
        pass_score: What the last one must reach; None is the marginal score.
        marginal_score: Below this any interval fails the stage; None is no such bound.
    """
    if not totals:
        return Verdict.INCONCLUSIVE, "no interval was judged"
    if marginal_score is not None and min(totals) < marginal_score:
        return Verdict.FAIL, f"score {min(totals):g} is below marginal {marginal_score:g}"
    last = totals[-1]
    needed = marginal_score if pass_score is None else pass_score
    if needed is None:
        return Verdict.PASS, f"score {last:g}, and none is required"
    if last < needed:
        return Verdict.FAIL, f"score {last:g} is below {needed:g}"
    return Verdict.PASS, f"score {last:g} reaches {needed:g}"


_WITHOUT_DATA = (Classification.NODATA, Classification.NODATA_FAIL)


def _groups(metrics: Sequence[JudgedMetric]) -> tuple[GroupScore, ...]:
    """Return the share of passed metrics of each group; those without data count nowhere."""
    passed: dict[str, list[float]] = {}
    for metric in metrics:
        for name in metric.groups:
            points = passed.setdefault(name, [])
            if metric.classification is Classification.NODATA:
                continue
            is_passed = metric.classification is Classification.PASS
            points.append(FULL if is_passed else 0.0)
    found = []
    for name, points in sorted(passed.items()):
        found.append(GroupScore(name, fmean(points) if points else None))
    return tuple(found)


def _weighted(groups: Sequence[GroupScore], weights: Mapping[str, float]) -> float:
    unweighted = [each.name for each in groups if each.name not in weights]
    rest = FULL - sum(weights.values())
    total = 0.0
    for group in groups:
        weight = weights.get(group.name)
        if weight is None:
            weight = rest / len(unweighted)
        # Kayenta counts what was not measured as passed; `Score.unmeasured` names it.
        points = FULL if group.passed is None else group.passed
        total += points * weight / FULL
    return total
