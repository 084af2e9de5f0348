"""What every route of the console uses: the site, authentication, the batches, the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from changeover import clock
from changeover.console.auth import Auth, is_loopback
from changeover.console.batching import Batcher
from changeover.console.models import OutcomeIn
from changeover.console.sessions import Sessions
from changeover.domain.claims import Claim, Refusal
from changeover.errors import InvalidInput
from changeover.procedures.outcome_counting import counting_of
from changeover.sdk.feed import Feed
from changeover.site.site import Site
from changeover.store import claims, outcomes
from changeover.store.claims import ClaimRequest

CLAIMS_AT_ONCE = 200
OUTCOMES_AT_ONCE = 10_000
"""So many in one transaction: nobody else waits for long."""
MOST_QUALITY_NAMES = 100
"""Each is a metric of its own: names made of ids or times would be without end."""


@dataclass
class Counts:
    """What this process did since it began, for `/metrics`."""

    claims: dict[str, int] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], int] = field(default_factory=dict)

    def claimed(self, result: str) -> None:
        """Count what became of a request to claim."""
        self.claims[result] = self.claims.get(result, 0) + 1


class Console:
    """One migration's console.

    Args:
        site: The migration on this machine.
        is_local: Whether it listens on loopback: then reads need no token, unless the plan names
            an address elsewhere.
        name: Under which it gives its signs of life.
    """

    NAME = "console"

    def __init__(self, site: Site, *, is_local: bool, name: str = NAME) -> None:
        self.site, self.is_local, self.name = site, is_local, name
        self.sessions = Sessions(site, is_local=is_local)
        public = urlsplit(self.sessions.public)
        # a proxy asks from this machine, and whoever reaches the proxy would read through it
        is_free = is_local and is_loopback(public.hostname or "localhost")
        self.public_host = public.netloc
        self.auth = Auth(site, self.sessions, reads_freely=is_free)
        self.counts = Counts()
        self.began = clock.now()
        self.claims: Batcher[ClaimRequest, Claim | Refusal] = Batcher(
            self._claim, most=CLAIMS_AT_ONCE)
        self.outcomes: Batcher[list[OutcomeIn], int] = Batcher(
            self._save, most=OUTCOMES_AT_ONCE, weigh=len)
        self.feed = Feed.from_store(site.store, site.migration, site.environment)
        self._quality = outcomes.quality_names(site.store, site.migration)
        self._coming: Counter[str] = Counter()
        self._counting = counting_of(site.plan)

    def check_segments(self, names: Sequence[str]) -> frozenset[str]:
        """Return segments as a set.

        Raises:
            InvalidInput: The plan has no such segment.
        """
        known = self.site.plan.routing.segments
        for name in names:
            if name not in known:
                allowed = ", ".join(known)
                raise InvalidInput(
                    f"segment {name!r} is not in the plan", where="segments",
                    allowed=allowed or "none, the plan has no segment")
        return frozenset(names)

    async def save(self, batch: list[OutcomeIn]) -> int:
        """Save the outcomes of a request, all or none; return how many were not known.

        Raises:
            InvalidInput: An unknown segment, or ever more names of quality numbers; only names of
                outcomes that were saved count.
            StoreError: The store cannot be used.
        """
        names = self._check(batch)
        # counted on their way, too: many requests at once must not pass the limit together
        self._coming.update(names)
        try:
            new = await self.outcomes.put(batch)
        finally:
            self._coming -= Counter(names)
        # only when they are saved: a refused request must not use up the names
        self._quality |= names
        return new

    def _check(self, batch: Sequence[OutcomeIn]) -> set[str]:
        """Return the names of quality numbers that are new with a batch."""
        names: set[str] = set()
        for one in batch:
            if one.segments:
                self.check_segments(one.segments)
            if one.quality and not one.quality.keys() <= self._quality:
                names |= one.quality.keys() - self._quality
        known = self._quality | self._coming.keys() | names
        # names that are known already may always be used
        if names and len(known) > MOST_QUALITY_NAMES:
            raise InvalidInput(
                f"quality has more than {MOST_QUALITY_NAMES} names in all",
                where="quality",
                next_step="Names are metrics: no ids or times in them")
        return names

    def _claim(self, acts: Sequence[ClaimRequest]) -> list[Claim | Refusal]:
        return claims.carry_out(self.site.store, self.site.migration, acts)

    def _save(self, batches: Sequence[list[OutcomeIn]]) -> list[int]:
        """Save the outcomes of several requests; return how many of each were new."""
        together = [one for batch in batches for one in batch]
        new = set(outcomes.save(
            self.site.store, self.site.migration, together, now=clock.now(),
            counting=self._counting))
        found = []
        for batch in batches:
            # an id in two requests is new in the first of them
            own = {one.id for one in batch} & new
            new -= own
            found.append(len(own))
            for one in batch:
                if one.id in own:
                    key = one.system, "success" if one.is_success else "failure"
                    self.counts.outcomes[key] = self.counts.outcomes.get(key, 0) + 1
                    own.discard(one.id)  # the same id again in this request counts once
        return found
