"""Where users come in, how they are distinguished, and which pages may ask the console. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from changeover.plan.endpoint import UsersTlsSpec
from changeover.plan.fields import (
    Address,
    Cookie,
    Duration,
    HeaderName,
    HttpUrl,
    Name,
    OneOrMore,
    Origin,
    Parameter,
    Part,
    Size,
    listed,
)
from changeover.plan.oidc import OidcSpec
from changeover.plan.segments import SegmentSpec, is_in

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


Claim = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,100}$")]
LONGEST_COOKIE = timedelta(days=400)
"""Browsers keep no cookie for longer (RFC 6265bis)."""

LOST_AFTER_LEAST = timedelta(seconds=5)


def _not_at_once(value: timedelta) -> timedelta:
    if value < LOST_AFTER_LEAST:
        raise ValueError("must be at least 5s: a node says after 3 s that it is cut off, and "
                         "shorter pauses of a database are common")
    return value


class KeySpec(Part):
    """One place where a user's key may be found in a request, and how it decides."""

    header: HeaderName | None = Field(None, description="Request header with the user's key.")
    cookie: Cookie | None = Field(None, description="Cookie with it.")
    query: Parameter | None = Field(None, description="Parameter of the address with it.")
    bearer_claim: Claim | None = Field(
        None, description="Claim of the JWT in `authorization: Bearer`, as `sub`. The token is not "
        "verified: the system does that, and the key only says which system is asked.")
    modulo: Literal[10, 100, 1000, 10_000] | None = Field(
        None,
        description="For a key that is one header: the number at its end decides by its rest: with "
        "100, at 25 % the keys whose number % 100 is below 25 move. Default: the key's hash "
        "decides, which is even for any keys.")

    @model_validator(mode="after")
    def _one_way(self) -> KeySpec:
        if len(self._places) != 1:
            raise ValueError("exactly one of `header`, `cookie`, `query` and `bearer_claim` is "
                             "required; several places are a list")
        if self.modulo is not None and self.header is None:
            raise ValueError("`modulo` needs a key that is a `header`")
        return self

    @property
    def _places(self) -> list[tuple[str, str]]:
        return [(kind, name) for kind, name in (
            ("header", self.header), ("cookie", self.cookie), ("query", self.query),
            ("bearer_claim", self.bearer_claim)) if name is not None]

    @property
    def place(self) -> tuple[str, str]:
        """The kind of the place and its name, as `("cookie", "session")`."""
        return self._places[0]

    @property
    def title(self) -> str:
        """The place in words: `cookie session`."""
        if self.bearer_claim is not None:
            return f"claim {self.bearer_claim} of the bearer token"
        return " ".join(self.place)


class IssueSpec(Part):
    """A cookie for users who come without any key, so that they, too, stay where they are."""

    cookie: Cookie = Field(description="Its name.")
    lifetime: Duration = Field(
        timedelta(days=365), gt=timedelta(0), le=LONGEST_COOKIE,
        description="How long browsers keep it, at most 400d.")
    same_site: Literal["lax", "strict", "none"] = Field("lax", description="Attribute SameSite.")
    secure: bool | None = Field(
        None, description="Attribute Secure; default: when the user came by https.")
    domain: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")] | None = Field(
        None, description="Attribute Domain; default: only the host that was asked.")

    @model_validator(mode="after")
    def _is_accepted(self) -> IssueSpec:
        if self.same_site == "none" and self.secure is False:
            raise ValueError("browsers drop a cookie with same_site none that is not secure; "
                             "remove `secure: false`")
        return self


def _as_written(sources: tuple[KeySpec, ...]) -> Any:
    found = [source.model_dump(mode="json", exclude_none=True) for source in sources]
    return found[0] if len(found) == 1 else found


KeySources = Annotated[
    tuple[KeySpec, ...],
    BeforeValidator(listed),
    Field(min_length=1, max_length=10),
    PlainSerializer(_as_written),
    OneOrMore(),
]


class LimitsSpec(Part):
    """What is too large to be forwarded."""

    headers: Size = Field(
        1_024_000, ge=8_000, le=1_024_000,
        description="Largest head of a request: its headers with the path; refused with 431.")
    body: Size | None = Field(
        None, ge=1, lt=10**18, description="Largest body of a request, announced or not; refused "
        "with 413. Default: no limit.")


class RoutingSpec(Part):
    """Where requests arrive and how users are identified."""

    listen: Address = Field("127.0.0.1:8100", description="Address of the gateway.")
    key: KeySources = Field(
        default=(KeySpec(header="x-user-id"),),
        description="Where a user's key is found: one place, or several in order; the first one "
        "with a value counts.")
    issue: IssueSpec | None = Field(
        None, description="Users without any key get a cookie, which is their key from then on.")
    keyless: Literal["baseline", "split"] = Field(
        "baseline", description="Requests without a key: all to the baseline until `full`, or "
        "`split`, each by chance.")
    segments: dict[Name, SegmentSpec] = {}
    trusted_hops: int | None = Field(
        None, ge=0, le=20,
        description="Number of balancers in front of the gateway; their X-Forwarded headers are "
        "trusted. Default: 1 for peers with a private address, else 0.",
    )
    tls: UsersTlsSpec | None = Field(
        None, description="Users come over TLS 1.2 or later, in HTTP/1.1 or HTTP/2; default: "
        "without TLS.")
    proxy_protocol: bool = Field(
        False, description="Balancers say in the PROXY protocol (version 1 or 2) who the user is.")
    limits: LimitsSpec | None = None
    lost_after: Annotated[Duration, AfterValidator(_not_at_once)] | None = Field(
        None, description="A gateway node that is cut off from the store for "
        "so long sends everyone to the baseline, until the store answers again; at least 5s. "
        "Default: it goes on with its last routes.")
    salt: str | None = Field(
        None, min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$",
        description="Shuffles which users move first; costs a fifth of peak throughput.",
    )

    @property
    def rule(self) -> KeyRule:
        """How a key becomes a bucket."""
        return KeyRule(self.salt or "", self.key[0].modulo or 0)

    @model_validator(mode="after")
    def _is_one_rule(self) -> RoutingSpec:
        if all(source.modulo is None for source in self.key):
            return self
        if self.salt is not None:
            raise ValueError(
                "`salt` shuffles hashes, and `key.modulo` hashes nothing; leave one out")
        if self.plain_header is None:
            raise ValueError("`key.modulo` needs a key that is one header, without `issue` and "
                             "`keyless: split`")
        return self

    @property
    def plain_header(self) -> str | None:
        """The one header that is the key, when nothing else is asked of the gateway."""
        is_plain = len(self.key) == 1 and self.issue is None and self.keyless == "baseline"
        return self.key[0].header if is_plain else None

    @property
    def sources(self) -> tuple[KeySpec, ...]:
        """Every place of the key in order; the issued cookie is the last one."""
        own = () if self.issue is None else (KeySpec(cookie=self.issue.cookie),)
        return (*self.key, *(each for each in own if each not in self.key))

    def carrying(self, key: str) -> dict[str, str]:
        """Return a request's headers by which the gateway finds a key; none when only a token or
        the address can carry it.
        """
        for source in self.sources:
            if source.header is not None:
                return {source.header: key}
            if source.cookie is not None:
                return {"cookie": f"{source.cookie}={key}"}
        return {}

    def segments_of(self, key: str) -> frozenset[str]:
        """Return the segments that a user is in by the key alone."""
        places = {source.place for source in self.key}
        return frozenset(name for name, spec in self.segments.items()
                         if spec.place in places and is_in(spec, [key.strip(" \t")]))


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
