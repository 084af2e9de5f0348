"""Where users come in, how they are distinguished, and which pages may ask the console. Pure."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from changeover.plan.fields import Address, HeaderName, HttpUrl, Name, Origin, Part
from changeover.plan.oidc import OidcSpec


class KeySpec(Part):
    """Where a user's key is found in a request."""

    header: HeaderName = Field(description="Request header with the user's key.")


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
