"""When guardrails are alarmed: simple, robust rules that two healthy systems do not meet. Pure.

Requests of one user resemble each other, and users differ widely, so no test here counts requests:
each asks which *users* met something. A window remembers some users of each kind, the same random
choice for both systems (`changeover.analysis.window.MOST_USERS`). Which system a user belongs to is
decided by a hash that is independent of that choice, so that under "which system answers changes
nothing" two tests are exact whatever the users are like:

- of the users who met it, as many are the candidate's as the split says (binomial);
- among the candidate's users no more met it than among the baseline's (Fisher).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from changeover.analysis.check import CheckResult
from changeover.analysis.sequential.ratio import mismatch
from changeover.analysis.window import MOST_USERS, SPLIT, Measurements, Met, Window, fewest
from changeover.domain.verdict import Verdict
from changeover.plan.guardrails import MEANINGS, Guardrail
from changeover.plan.metrics import METRICS, format_value
from changeover.plan.subsets import parts_in_words

MORE = 0.01
"""The candidate's share must exceed the baseline's by more than this."""
MUCH_MORE = 0.2
"""By more than this where the candidate's users are no random choice: segments, everybody."""
FAR_MORE = 0.5
"""By more than this where users have no keys, or nobody knows the baseline's share."""
ALPHA = 1e-4
"""Chance of an alarm of each of the two tests while nothing is there."""
FEWEST_BAD = 5
FEWEST_USERS = 3
ENOUGH = 20
"""Requests, on either side, below which quiet is no evidence."""
SHORTER = 10.0
ENOUGH_ANSWERS = 50
FEWEST_SHORT_USERS = 50
"""Users differ by what they ask for, and a few ask most: the usual size needs many of them."""
FEWEST_PROBES = 5

_Count = Callable[[Measurements], tuple[int, int]]

COUNTED: dict[Guardrail, tuple[Met, _Count]] = {
    Guardrail.ERRORS: (Met.ERROR, lambda w: (sum(w.errors.values()), w.requests)),
    Guardrail.CLIENT_ERRORS: (Met.CLIENT_ERROR, lambda w: (w.client_errors, w.requests)),
    Guardrail.REDIRECTS: (Met.REDIRECT, lambda w: (w.redirects, w.requests)),
    Guardrail.EMPTY_ANSWERS: (Met.EMPTY, lambda w: (w.empty_answers, w.answers)),
}
"""What is counted of a window for a guardrail: the users who met it, and (bad, all)."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A place that shadow comparison calls a firm regression, with its sentence."""

    place: str
    rate: float
    compared: int
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What guardrails look at when a gate is judged.

    Args:
        own: The candidate's window, since the stage began.
        baseline: The baseline's window of the same time.
        before: The baseline's window of the time before the stage, where it served everybody.
        share: The candidate's share of the users whom the split decides, 0..1; None when it was
            not the same for the whole window.
        regressions: Firm regressions; None when nothing is compared.
        groups: Groups of users (buckets) that came to the candidate, and to both systems, each
            counted once; None where nothing is split or nobody counted.
        accepted: Places that people promoted with their eyes open at an earlier gate.
        start: Start of the window.
        end: End of the window.
        parts: Which parts of the traffic the windows hold; None: all of it.
        wholes: Which windows of the baseline (`baseline`, `before`) hold all the same: its parts
            were not counted at that time.
    """

    own: Window
    baseline: Window
    before: Window
    share: float | None
    regressions: Sequence[Regression] | None
    groups: tuple[int, int] | None
    accepted: frozenset[str]
    start: datetime
    end: datetime
    parts: tuple[str, ...] | None = None
    wholes: frozenset[str] = frozenset()


def judge_guardrails(names: Sequence[Guardrail], evidence: Evidence) -> list[CheckResult]:
    """Return the verdict of each guardrail that is on: fail is an alarm, which asks people."""
    found = []
    for name in names:
        result = _JUDGES.get(name, _judge_share)(name, evidence)
        is_of_requests = name in COUNTED or name is Guardrail.SHORT_ANSWERS
        found.append(_with_parts(result, evidence) if is_of_requests else result)
    return found


def _with_parts(result: CheckResult, evidence: Evidence) -> CheckResult:
    """Return a result that says which parts of the traffic it compares, if not all."""
    if evidence.parts is None:
        return result
    return replace(result, parts=evidence.parts,
                   reason=f"{result.reason}; compared: {parts_in_words(evidence.parts)}")


def forgot_users(window: Window) -> bool:
    """Whether users with keys came and none of them is remembered: an earlier version measured."""
    return window.keyless < window.requests and not window.users.get(Met.ANSWER)


def _other(evidence: Evidence, *, is_beside: bool) -> tuple[Window, str]:
    """Return the baseline's window to compare with, and what is to be said of it."""
    # Where the candidate serves everybody the baseline has no requests now, but had some before.
    name = "baseline" if is_beside else "before"
    words = "" if is_beside else " before the stage"
    if name in evidence.wholes:
        words += " (in all requests: its parts were not counted then)"
    return evidence.baseline if is_beside else evidence.before, words


def overall(
    results: Sequence[CheckResult], turned_off: Mapping[Guardrail, str]
) -> tuple[Verdict, str]:
    """Return the verdict of all guardrails and its reason, with those that are off.

    Too little data for some is shown, and decides nothing: what must have data is a gate's.
    """
    alarms = [each for each in results if each.verdict is Verdict.FAIL]
    quiet = [each for each in results if each.verdict is Verdict.PASS]
    verdict = together([each.verdict for each in results])
    unknown = len(results) - len(alarms) - len(quiet)
    reason = f"{len(quiet)} of {len(results)} see nothing"
    if unknown:
        reason += f", {unknown} have too little data"
    if alarms:
        reason = "; ".join(each.reason for each in alarms)
    # Said each time: somebody who reads "nothing seen" must know who did not look.
    for name, why in turned_off.items():
        reason += _off(name) + why
    return verdict, reason


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return what guardrails say together: what one has too little data for decides nothing."""
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    return Verdict.PASS if Verdict.PASS in verdicts else Verdict.INCONCLUSIVE


def was_off(name: Guardrail, reason: str) -> bool:
    """Whether a guardrail was off when a verdict was given, by the verdict's reason."""
    return _off(name) in reason


def _off(name: Guardrail) -> str:
    return f"; {name} is off: "


def _result(name: Guardrail, evidence: Evidence, verdict: Verdict, reason: str) -> CheckResult:
    return CheckResult(
        metric=MEANINGS[name].metric, of="candidate", bound=f"guardrail {name}", verdict=verdict,
        reason=f"{name}: {reason}", value=None, samples=0, min_samples=0, start=evidence.start,
        end=evidence.end,
    )


def _unknown(name: Guardrail, evidence: Evidence, reason: str) -> CheckResult:
    return _result(name, evidence, Verdict.INCONCLUSIVE, reason)


def _judge_share(name: Guardrail, evidence: Evidence) -> CheckResult:
    kind, count = COUNTED[name]
    is_beside = count(evidence.baseline)[1] >= ENOUGH
    other, words = _other(evidence, is_beside=is_beside)
    (bad, total), (other_bad, other_total) = count(evidence.own), count(other)
    metric = METRICS[MEANINGS[name].metric]
    if not total or not other_total:
        whose = "of the baseline to compare with" if total else "of the candidate"
        return _unknown(name, evidence, f"no requests {whose}")
    value, known = bad / total, other_bad / other_total
    ours, theirs = format_value(metric, value), format_value(metric, known)
    numbers = (f"{metric.name} of candidate {ours} in {total}, "
               f"of the baseline {theirs} in {other_total}{words}")
    most = format_value(metric, MORE)
    found = replace(
        _result(name, evidence, Verdict.PASS, numbers),
        bound=f"guardrail {name}: at most {most} above the baseline",
        value=value, samples=total, min_samples=ENOUGH, baseline_value=known,
        baseline_samples=other_total)
    # Users of another time were not drawn against those of now.
    share = evidence.share if is_beside else None
    alarm = None
    if bad >= FEWEST_BAD:
        if _lacks_users(evidence, other) and value - known > MORE:
            reason = f"{found.reason}: users of single parts were not counted yet"
            return replace(found, verdict=Verdict.INCONCLUSIVE, reason=reason)
        alarm = _is_more(kind, evidence.own, other, value - known, share)
    if alarm:
        return replace(found, verdict=Verdict.FAIL, reason=f"{found.reason}: {alarm}")
    if min(total, other_total) < ENOUGH:
        reason = f"{found.reason}: fewer than {ENOUGH} requests"
        return replace(found, verdict=Verdict.INCONCLUSIVE, reason=reason)
    return found


def _lacks_users(evidence: Evidence, other: Window) -> bool:
    # without routes a window without users is one of users without keys
    return evidence.parts is not None and any(map(forgot_users, (evidence.own, other)))


def _is_more(
    kind: Met, own: Window, other: Window, difference: float, share: float | None
) -> str | None:
    """Return why a difference of shares is no chance; None when it may be."""
    everyone = own.users.get(Met.ANSWER, ())
    # Without keys requests of one user cannot be told from those of many: no test holds.
    if not everyone:
        is_far = difference > FAR_MORE
        return "users have no keys, and the difference is large" if is_far else None
    randomised = share is not None and any(user & SPLIT for user in everyone)
    if difference <= (MORE if randomised else MUCH_MORE):
        return None
    if len(own.users.get(kind, ())) < FEWEST_USERS:
        return None
    p = fisher(kind, own, other, is_split=randomised)
    if randomised and share is not None:
        p = min(p, binomial(kind, own, other, share))
    if p > ALPHA:
        return None
    return f"no chance, counted by users (p {p:.1g} ≤ {ALPHA:g})"


def binomial(kind: Met, own: Window, other: Window, share: float) -> float:
    """Return the chance that so many of the users who met something are the candidate's.

    Exact for a fixed number of users, of which each is the candidate's with probability `share`.
    """
    # Beyond the last user of a full list nobody knows who else there was.
    last = 1 << 32
    for window in (own, other):
        users = window.users.get(kind, ())
        if len(users) >= MOST_USERS:
            last = min(last, users[-1])
    mine, theirs = _drawn(kind, own, last), _drawn(kind, other, last)
    chosen = fewest((*mine, *theirs))
    number = len(set(chosen) & set(mine))
    if not number:
        return 1.0
    return float(_special().bdtrc(number - 1, len(chosen), share))


def _drawn(kind: Met, window: Window, last: int) -> list[int]:
    """Return the users up to a number who met something and whom the split decided about."""
    met = window.users.get(kind, ())
    return [user for user in met if user <= last and user & SPLIT]


def fisher(kind: Met, own: Window, other: Window, *, is_split: bool) -> float:
    """Return Fisher's exact p-value, one-sided: do more of the candidate's users meet something?

    Source: Fisher 1934; as a permutation test it needs no assumption but the random assignment.
    """
    bad, total = _users_who_met(kind, own, is_split=is_split)
    other_bad, other_total = _users_who_met(kind, other, is_split=is_split)
    everyone, met = total + other_total, bad + other_bad
    # Whole numbers up to the division: floats would lose chances this small.
    ways = 0
    well = everyone - met
    for number in range(bad, min(met, total) + 1):
        if total - number <= well:
            ways += math.comb(met, number) * math.comb(well, total - number)
    return ways / math.comb(everyone, total)


def _users_who_met(kind: Met, window: Window, *, is_split: bool) -> tuple[int, int]:
    """Return (how many of the remembered users met it, how many are remembered)."""
    everyone = set(window.users.get(Met.ANSWER, ()))
    if is_split:
        everyone = {user for user in everyone if user & SPLIT}
    return len(everyone.intersection(window.users.get(kind, ()))), len(everyone)


def _judge_short(name: Guardrail, evidence: Evidence) -> CheckResult:
    own = evidence.own
    is_beside = evidence.baseline.answers >= ENOUGH_ANSWERS
    other, words = _other(evidence, is_beside=is_beside)
    users = min(len(each.users.get(Met.ANSWER, ())) for each in (own, other))
    is_few = min(own.answers, other.answers) < ENOUGH_ANSWERS
    if is_few or 0 < users < FEWEST_SHORT_USERS or _lacks_users(evidence, other):
        reason = (f"{own.answers} and {other.answers} answers of {users} users: needed are "
                  f"{ENOUGH_ANSWERS}, of {FEWEST_SHORT_USERS} users")
        return replace(
            _unknown(name, evidence, reason), samples=own.answers,
            min_samples=ENOUGH_ANSWERS, baseline_samples=other.answers)
    usual, known = _usual(own), _usual(other)
    # One more on both sides: an answer without a body has no logarithm.
    is_short = (1 + usual) * SHORTER < 1 + known
    metric = METRICS["response_bytes"]
    ours, theirs = format_value(metric, usual), format_value(metric, known)
    reason = f"the candidate's usual answer has {ours}, the baseline's {theirs}"
    if "before" in evidence.wholes or "baseline" in evidence.wholes:
        reason += words
    return replace(
        _result(name, evidence, _fails(is_short), reason),
        bound=f"guardrail {name}: at least a tenth of the baseline", value=usual,
        samples=own.answers, min_samples=ENOUGH_ANSWERS, baseline_value=known,
        baseline_samples=other.answers)


def _usual(window: Window) -> float:
    """Return the geometric mean of the answers' bytes: one large download does not move it."""
    return math.expm1(window.answer_logs / window.answers)


def _fails(is_bad: object) -> Verdict:
    return Verdict.FAIL if is_bad else Verdict.PASS


def _judge_down(name: Guardrail, evidence: Evidence) -> CheckResult:
    own, other = evidence.own.measure("up"), evidence.baseline.measure("up")
    if own.value is None or other.value is None or own.samples < FEWEST_PROBES:
        return _unknown(name, evidence, f"{own.samples} probes")
    # Both down is a fault of the machine or the network, and no reason to move users.
    is_down = own.value < 0.5 <= other.value
    reason = (f"{own.value:.0%} of {own.samples} health probes of the candidate were answered, "
              f"{other.value:.0%} of the baseline's")
    return replace(
        _result(name, evidence, _fails(is_down), reason),
        value=own.value, samples=own.samples, min_samples=FEWEST_PROBES,
        baseline_value=other.value, baseline_samples=other.samples)


def _judge_regressions(name: Guardrail, evidence: Evidence) -> CheckResult:
    found, accepted = evidence.regressions, evidence.accepted
    if found is None:
        return _unknown(name, evidence, "nothing is compared")
    new = [each for each in found if each.place not in accepted]
    known = len(found) - len(new)
    more = f"; {known} more were promoted at an earlier gate" if known else ""
    # All of them: who promotes now accepts these, and the next gate asks about others only.
    places = tuple(each.place for each in found)
    if not new:
        quiet = _result(name, evidence, Verdict.PASS, f"no new firm regression{more}")
        return replace(quiet, places=places)
    worst = max(new, key=lambda each: each.rate)
    what = "firm regression" if len(new) == 1 else "firm regressions"
    reason = f"{len(new)} {what}{more}; the most frequent at {worst.place}: {worst.reason}"
    return replace(
        _result(name, evidence, Verdict.FAIL, reason),
        value=worst.rate, samples=worst.compared, places=places)


def _judge_split(name: Guardrail, evidence: Evidence) -> CheckResult:
    # Under a share that changed meanwhile no number of users is the right one.
    if evidence.groups is None or evidence.share is None or not evidence.groups[1]:
        return _unknown(name, evidence, "no users were counted")
    mine, everyone = evidence.groups
    why = mismatch(mine, everyone, evidence.share)
    quiet = f"{mine} of {everyone} groups of users came to the candidate, as the split says"
    return replace(_result(name, evidence, _fails(why), why or quiet), samples=everyone)


def _special() -> Any:
    # Imported where it is needed: commands that judge nothing start half a second earlier.
    from scipy import special

    return special


_JUDGES: dict[Guardrail, Callable[[Guardrail, Evidence], CheckResult]] = {
    Guardrail.SHORT_ANSWERS: _judge_short,
    Guardrail.DOWN: _judge_down,
    Guardrail.REGRESSIONS: _judge_regressions,
    Guardrail.SPLIT: _judge_split,
}
