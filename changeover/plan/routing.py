"""Where users come in, how they are distinguished, and which pages may ask the console. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, model_validator

from changeover.plan.fields import Address, HeaderName, HttpUrl, Name, Origin, Part
from changeover.plan.oidc import OidcSpec

BUCKETS = 10_000
"""Users are moved by the bucket, a hundredth of a percent."""


@dataclass(frozen=True, slots=True)
class KeyRule:
    """How a key becomes a bucket.

    Args:
        salt: Put before the key that is hashed.
        modulo: The number at the key's end decides, by its rest; 0: the key is hashed.
    """

    salt: str = ""
    modulo: int = 0


HASHED = KeyRule()
"""The rule of a plan that says nothing else."""


class KeySpec(Part):
    """Where a user's key is found in a request, and how it decides."""

    header: HeaderName = Field(description="Request header with the user's key.")
    modulo: Literal[10, 100, 1000, 10_000] | None = Field(
        None,
        description="The number at the key's end decides by its rest: with 100, at 25 % the keys "
        "whose number % 100 is below 25 move. Default: the key's hash decides, which is even for "
        "any keys.")


class SegmentSpec(Part):
    """A named group of users, recognised by a request header."""

    header: HeaderName
    any_of: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(min_length=1)


class RoutingSpec(Part):
    """Where requests arrive and how users are identified."""

    listen: Address = Field("127.0.0.1:8100", description="Address of the gateway.")
    key: KeySpec = Field(default_factory=lambda: KeySpec(header="x-user-id"))
    segments: dict[Name, SegmentSpec] = {}
    trusted_hops: int | None = Field(
        None, ge=0, le=20,
        description="Number of balancers in front of the gateway; their X-Forwarded headers are "
        "trusted. Default: 1 for peers with a private address, else 0.",
    )
    salt: str | None = Field(
        None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$",
        description="Shuffles which users move first; costs a fifth of peak throughput.",
    )

    @property
    def rule(self) -> KeyRule:
        """How a key becomes a bucket."""
        return KeyRule(self.salt or "", self.key.modulo or 0)

    @model_validator(mode="after")
    def _is_one_rule(self) -> RoutingSpec:
        if self.salt is not None and self.key.modulo is not None:
            raise ValueError(
                "`salt` shuffles hashes, and `key.modulo` hashes nothing; leave one out")
        return self

    def segments_of(self, key: str) -> frozenset[str]:
        """Return the segments that a user is in by the key alone."""
        return frozenset(name for name, spec in self.segments.items()
                         if spec.header == self.key.header
                         and key.strip(" \t") in spec.any_of)


class ConsoleSpec(Part):
    """Who may use the console without a token, and who signs in."""

    origins: list[Origin] = Field(
        [], max_length=100, description="Pages that may ask for flags from a browser (OFREP)."
    )
    oidc: OidcSpec | None = Field(
        None, description="Where people sign in who act on the console's page.")
    address: HttpUrl | None = Field(
        None, description="The console's address in people's browsers; default: where it listens.")

    @property
    def public(self) -> str:
        """What browsers call the console, without a slash; empty: only where it listens is known.
        """
        address = self.address
        # the older key, from when only the provider needed to know
        if address is None and self.oidc is not None:
            address = self.oidc.address
        return (address or "").rstrip("/")
