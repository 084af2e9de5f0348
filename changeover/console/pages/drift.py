"""Who is where: what was decided of users against what is measured of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from changeover.analysis.sequential.ratio import mismatch
from changeover.analysis.summing import combined
from changeover.analysis.window import MOST_USERS, SPLIT, Met, Window
from changeover.console.pages.charts import Value
from changeover.console.pages.signs import Tone

NUMBERS = 1 << 32
"""Users' numbers lie below, spread evenly."""
FEWEST = 200
"""Groups of users below which a share says little."""
STEPS = 60
"""Points of a chart of users: each needs some of them to say anything."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether users are where they were decided to be.

    Args:
        says: One or two words.
        tone: Of the words.
        text: One sentence with the numbers.
        measured: The candidate's share of the groups of users, in percent; None without any.
    """

    says: str
    tone: Tone
    text: str
    measured: float | None = None


def drift(groups: tuple[int, int] | None, weight: int) -> Drift:
    """Return whether as many users came to the candidate as the split says.

    Args:
        groups: Groups of users (buckets) that came to the candidate, and to both systems, each
            counted once; None while nothing is split.
        weight: Buckets that go to the candidate, 0..10,000.
    """
    if groups is None:
        return Drift("nothing is split", "", "Users are split in gradual steps only; now all of "
                     "them, but for those of segments, are with one system.")
    mine, everyone = groups
    if not everyone:
        return Drift("no data", "inconclusive", "No user has come since this split was decided.")
    measured, decided = 100 * mine / everyone, weight / 100
    text = (f"{mine} of {everyone} groups of users came to the candidate: {measured:.3g} %, where "
            f"the split says {decided:g} %.")
    why = mismatch(mine, everyone, weight / 10_000)
    if why is not None:
        return Drift("drift", "fail", f"{why[:1].upper()}{why[1:]}.", measured)
    if everyone < FEWEST:
        text += f" {FEWEST} groups and more would tell."
        return Drift("too few users", "inconclusive", text, measured)
    return Drift("as decided", "pass", text, measured)


def split_share(baseline: Window, candidate: Window) -> Value:
    """Return the candidate's share of the users whom the split decided about, in percent.

    Both systems remember the same random choice of users, up to where the fuller list ends.
    """
    users = {}
    last = NUMBERS
    for name, window in (("baseline", baseline), ("candidate", candidate)):
        users[name] = window.users.get(Met.ANSWER, ())
        # beyond the last user of a full list nobody knows who else there was
        if len(users[name]) >= MOST_USERS:
            last = min(last, users[name][-1])
    counts = {}
    for name, known in users.items():
        counts[name] = sum(1 for user in known if user <= last and user & SPLIT)
    everyone = counts["baseline"] + counts["candidate"]
    return 100 * counts["candidate"] / everyone if everyone else None


def users_seen(window: Window) -> int:
    """Return about how many users came: exact while all of them are remembered.

    Source: the k smallest of evenly spread numbers, (k - 1) / U(k) (Bar-Yossef, Jayram, Kumar,
    Sivakumar, Trevisan 2002).
    """
    known = window.users.get(Met.ANSWER, ())
    # who came before and after users were split has two numbers, but for the bit the same
    distinct = {user & ~SPLIT for user in known}
    if len(known) < MOST_USERS:
        return len(distinct)
    return round((len(distinct) - 1) * NUMBERS / max(1, known[-1]))


def request_share(baseline: Window, candidate: Window) -> Value:
    """Return the candidate's share of the requests, in percent; None without any."""
    everyone = baseline.requests + candidate.requests
    return 100 * candidate.requests / everyone if everyone else None


def in_steps(
    windows: Mapping[int, Window], most: int = STEPS
) -> dict[int, Window]:
    """Return windows summed up to at most so many; the newest, if not complete, is left out.

    Args:
        windows: By the second in which each begins, ascending.
        most: How many there may be.
    """
    if not windows:
        return {}
    times = sorted(windows)
    span = times[-1] - times[0] + 1
    step = max(1, -(-span // most))
    groups: dict[int, list[Window]] = {}
    # by the clock and not by the first of them: a range that moves on does not change the past
    for at in times:
        groups.setdefault(at // step * step, []).append(windows[at])
    found = {at: combined(group) for at, group in groups.items()}
    newest = max(found)
    end = times[-1] + windows[times[-1]].seconds
    # of a part of a step there are fewer, which would look like a fall
    if len(found) > 1 and newest + step > end:
        del found[newest]
    return found


def at_times(changes: Sequence[tuple[float, float]], times: Sequence[int]) -> dict[int, Value]:
    """Return which value holds at each time.

    Args:
        changes: Times of changes with the value from then on, ascending.
        times: Ascending.
    """
    found: dict[int, Value] = {}
    value: Value = None
    index = 0
    for at in times:
        while index < len(changes) and changes[index][0] <= at:
            value = changes[index][1]
            index += 1
        found[at] = value
    return found
