"""GitHub's deliveries: the signature, and the parts of an `issues` event that are read. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re

from pydantic import BaseModel, Field

ACTIONS = ("opened", "edited", "labeled", "assigned")
"""What is worked on; whatever else happens to an issue is ignored."""
MOST_BODY = 25 << 20  # GitHub's own limit
SIGNATURE = re.compile(r"sha256=[0-9a-f]{64}")


class Issue(BaseModel):
    """The parts of an issue that agents read."""

    number: int = Field(ge=1, lt=1 << 53)
    title: str = Field(max_length=1000)
    body: str | None = None


class Repository(BaseModel):
    """Where the issue is."""

    full_name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,38}/[A-Za-z0-9._-]{1,100}$")


class IssueEvent(BaseModel):
    """GitHub's `issues` event; it has many fields more."""

    action: str
    issue: Issue
    repository: Repository

    @property
    def item(self) -> str:
        """The issue's name among all items: `acme:shop:42`."""
        return f"{self.repository.full_name.replace('/', ':')}:{self.issue.number}"


def signature_of(body: bytes, secret: str) -> str:
    """Return GitHub's signature of a body: `sha256=` and the HMAC in hexadecimal."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether a body carries GitHub's signature."""
    known = signature_of(body, secret)
    return hmac.compare_digest(known.encode(), signature.encode("utf-8", "replace"))
