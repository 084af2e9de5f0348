"""Where a plan has files copied to: a folder, or an address that fsspec reaches. Pure.

What a protocol needs on this machine is `changeover.machine.remote_files`.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from changeover.plan.fields import Duration, Part

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_READ_ONLY = ("http", "https")
_FORMS = "a folder, or an address as s3://bucket/changeover or sftp://host/changeover"


def protocol_of(target: str) -> str:
    """Return the protocol of an address, as `s3`; empty for a folder."""
    found = _URL.match(target)
    return found[1].lower() if found else ""


def as_target(text: str) -> str:
    """Return a folder or an address as it is kept.

    Raises:
        ValueError: It is none, or may hold a secret; the message does not repeat it.
    """
    # no message repeats what was found: it may be the password
    if not text.strip() or not text.isprintable() or text != text.strip():
        raise ValueError(f"this is no place for files; allowed are {_FORMS}")
    if "://" not in text:
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"this address cannot be read; allowed are {_FORMS}") from None
    if parts.password is not None:
        raise ValueError(
            "the address has a password, which would be stored and shown with the plan; leave it "
            "out, and set the variable of its kind where flows run, as AWS_SECRET_ACCESS_KEY or "
            "FSSPEC_SFTP_PASSWORD")
    if parts.query or parts.fragment or "::" in text or ".." in parts.path.split("/"):
        raise ValueError(
            f"`?`, `#`, `::` and `..` are not allowed in the address; allowed are {_FORMS}")
    if not protocol_of(text):
        raise ValueError(f"this address cannot be read; allowed are {_FORMS}")
    if protocol_of(text) in _READ_ONLY:
        raise ValueError(f"nothing can be written to a web page; allowed are {_FORMS}")
    return text.rstrip("/")


Target = Annotated[str, AfterValidator(as_target), Field(
    examples=["/srv/changeover", "s3://bucket/changeover"])]
"""A folder, or an address of any protocol that fsspec knows; never with a password."""


class ReportsSpec(Part):
    """Where reports and `rollback.sh` are copied to, besides the home and the store."""

    target: Target = Field(
        description="A folder, relative to the home, or any address that fsspec reaches.")
    within: Duration = Field(
        timedelta(seconds=20), ge=timedelta(seconds=1), le=timedelta(minutes=10),
        description="How long one try may take; what is left is copied with the next report.")
