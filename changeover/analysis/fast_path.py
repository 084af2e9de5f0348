"""The plainest of all alarms: the candidate answers nobody, or is down. No statistics. Pure.

Two rules, each over the requests that ended since the candidate's last success:

- **errors**: for at least a second every request failed: at least five, of three users or more;
  more where the baseline fails requests as well, since then several in a row are no news.
- **down**: the last two health probes failed, and so did every request since then: at least
  three. Two witnesses need fewer requests and no second.

Both need a baseline that answers. Time is that of the requests themselves, so a gap, a late line or
a step of the clock can only make it quiet: what is not within three seconds does not count.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

FEWEST_REQUESTS, FEWEST_USERS = 5, 3
REQUESTS_BY_CHANCE, USERS_BY_CHANCE = 1e-9, 1e-3
"""So rare must it be that as many requests, or users, of a system like the baseline all fail."""
LASTING_SECONDS = 1.0
RECENT_SECONDS = 3.0
FEWEST_BESIDE_PROBES, FEWEST_PROBES = 3, 2
BASELINE_REQUESTS, BASELINE_ENOUGH, BASELINE_BAD = 50, 5, 0.5
BASELINE_SECONDS = 10.0
STEP_SECONDS = 2.0
"""Lines of the log are in order but for less; beyond it, the clock was set back."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A request that ended.

    Args:
        at: Unix time in seconds.
        is_failed: Whether its system failed it.
        user: Who sent it; empty where users have no keys.
    """

    at: float
    is_failed: bool
    user: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Everything fails. `at` is the Unix time of the request that completed it."""

    guardrail: str
    reason: str
    at: float
    requests: int
    users: int
    seconds: float


@dataclass
class FastPath:
    """What is known of the last seconds.

    Args:
        guardrails: Which of `errors` and `down` are on.
    """

    guardrails: frozenset[str] = frozenset(("errors", "down"))
    _failed: deque[Ended] = field(default_factory=deque)
    _baseline: deque[Ended] = field(default_factory=lambda: deque(maxlen=BASELINE_REQUESTS))
    _probes: dict[str, deque[tuple[float, bool]]] = field(default_factory=lambda: _no_probes())
    _is_raised: bool = False

    def restart(self) -> None:
        """Forget what failed: other users came, or nobody asked the candidate."""
        self._failed.clear()
        self._is_raised = False

    def add(self, system: str, request: Ended) -> None:
        """Add a request that ended, in the order of the log."""
        if system == "baseline":
            self._baseline.append(request)
            return
        # One success and it is not true that everything fails.
        if not request.is_failed:
            self.restart()
            return
        if self._failed and request.at < self._failed[-1].at - STEP_SECONDS:
            self.restart()
        self._failed.append(request)
        while self._failed[0].at < request.at - RECENT_SECONDS:
            self._failed.popleft()

    def add_probe(self, system: str, at: float, *, is_up: bool) -> None:
        """Add a health probe's result."""
        self._probes[system].append((at, is_up))

    def alarm(self, now: float) -> Alarm | None:
        """Return the alarm that is due; once, until a request succeeds."""
        if self._is_raised or not self._failed:
            return None
        # A log that is read late tells of the past, and not of now.
        is_now = abs(now - self._failed[-1].at) <= RECENT_SECONDS
        if not is_now:
            return None
        recent = self._of_baseline(now)
        if not self._is_baseline_well(recent, now):
            return None
        found = self._errors(recent) if "errors" in self.guardrails else None
        if found is None and "down" in self.guardrails:
            found = self._down(now)
        self._is_raised = found is not None
        return found

    def _errors(self, of_baseline: list[Ended]) -> Alarm | None:
        failed = list(self._failed)
        users = _users_of(failed)
        seconds = failed[-1].at - failed[0].at
        # A single user's requests may all fail for a reason of that user's own.
        share = _share_failed(of_baseline)
        needed = max(FEWEST_REQUESTS, _in_a_row(share, REQUESTS_BY_CHANCE))
        needed_users = max(FEWEST_USERS, _in_a_row(share, USERS_BY_CHANCE))
        is_few_users = 0 < users < needed_users
        is_few = len(failed) < needed or is_few_users
        if is_few or seconds < LASTING_SECONDS:
            return None
        return self._alarm("errors", failed, "all failed")

    def _down(self, now: float) -> Alarm | None:
        probes = self._probes["candidate"]
        is_down = len(probes) == FEWEST_PROBES and not any(is_up for _, is_up in probes)
        # Since its oldest failed probe: what failed before may have another cause. Probes come
        # once a second, so two of them are up to a second older than the newest request.
        if not is_down or not 0 <= now - probes[0][0] <= RECENT_SECONDS + 1:
            return None
        since = probes[0][0] - LASTING_SECONDS
        failed = [each for each in self._failed if each.at >= since]
        if len(failed) < FEWEST_BESIDE_PROBES:
            return None
        what = f"all failed, as did its last {len(probes)} health probes"
        return self._alarm("down", failed, what)

    def _alarm(self, guardrail: str, failed: list[Ended], what: str) -> Alarm:
        users = _users_of(failed)
        seconds = failed[-1].at - failed[0].at
        reason = (f"the last {len(failed)} requests of candidate, of {users or 'unknown'} "
                  f"users in {seconds:.1f} s, {what}")
        return Alarm(guardrail, reason, failed[-1].at, len(failed), users, seconds)

    def _of_baseline(self, now: float) -> list[Ended]:
        """Return the baseline's last requests; none where they are too few to tell."""
        recent = []
        for each in self._baseline:
            if 0 <= now - each.at <= BASELINE_SECONDS:
                recent.append(each)
        return recent if len(recent) >= BASELINE_ENOUGH else []

    def _is_baseline_well(self, recent: list[Ended], now: float) -> bool:
        """Whether the baseline answers, by its requests or, without enough, by its probes."""
        if recent:
            return _share_failed(recent) <= BASELINE_BAD
        probes = self._probes["baseline"]
        if not probes:
            return False
        at, is_up = probes[-1]
        return is_up and 0 <= now - at <= BASELINE_SECONDS


def _share_failed(requests: list[Ended]) -> float:
    """Return the share of requests that failed, 0..1; 0 of none."""
    bad = sum(each.is_failed for each in requests)
    return bad / max(1, len(requests))


def _in_a_row(share: float, chance: float) -> int:
    """Return how many failures in a row have such a chance: of 1e-9, 13 where 20 % fail.

    Args:
        share: Share of failures, 0 or more and below 1.
        chance: Above 0 and below 1.
    """
    return math.ceil(math.log(chance) / math.log(share)) if share else 0


def _no_probes() -> dict[str, deque[tuple[float, bool]]]:
    return {name: deque(maxlen=FEWEST_PROBES) for name in ("baseline", "candidate")}


def _users_of(requests: list[Ended]) -> int:
    """Return how many users sent some requests; 0 where users have no keys."""
    return len({each.user for each in requests if each.user})

