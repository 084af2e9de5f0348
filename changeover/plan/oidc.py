"""How people sign in at the console: an OpenID Connect provider. Pure."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from changeover.plan.fields import Duration, HttpUrl, Part
from changeover.plan.suites import Variable

CALLBACK = "/sign-in/back"
"""Where the provider sends browsers back to, behind the console's address."""
UNFINISHED = timedelta(minutes=10)
"""How long somebody may take at the provider."""


def _safe(text: str) -> str:
    """Return an issuer whose keys nobody on the way can replace."""
    parts = urlsplit(text)
    if parts.scheme == "https" or (parts.scheme == "http" and _is_local(parts.hostname or "")):
        return text.rstrip("/")
    raise ValueError(f"{text!r} is no issuer; allowed are https://... and, on this machine, "
                     "http://127.0.0.1:...")


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class OidcSpec(Part):
    """An OpenID Connect provider, and which of its claims is a person's name."""

    issuer: Annotated[str, AfterValidator(_safe), Field(
        min_length=8, max_length=500, examples=["https://login.example.com"],
        description="The provider, as its configuration names it.")]
    client_id: str = Field(min_length=1, max_length=200, description="What it calls the console.")
    env: Variable = Field(description="Environment variable with the client's secret.")
    claim: str = Field(
        "email", pattern=r"^[a-z][a-z_]{0,62}$",
        description="Claim that is the name in `approvers.names`; `email` must be verified.")
    address: HttpUrl | None = Field(
        None, description="The console's address in people's browsers; default: `console.address`.")
    session: Duration = Field(
        timedelta(hours=8), gt=timedelta(0), le=timedelta(days=1),
        description="How long somebody stays signed in.")
