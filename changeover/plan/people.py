"""Who may approve, as a plan says it: names, tokens, four eyes. Pure."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from changeover.plan.fields import Duration, Part


def person(name: str) -> str:
    """Return a name as it is compared: blanks, capitals and forms of a letter make no other one."""
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def listed(name: str) -> str:
    """Return a name as it is looked up in a list of those who may approve.

    Stricter than `person`: only blanks and capitals make no other one. Two accounts whose names
    only look or fold alike (`straße`, `strasse`) are two people here.
    """
    plain = ""
    for each in name:
        # the sign of Kelvin is a capital of its own whose small letter is a plain k
        is_plain = each.isascii() or not each.lower().isascii()
        plain += each.lower() if is_plain else each
    return " ".join(unicodedata.normalize("NFC", plain).split())


PersonName = Annotated[str, Field(min_length=2, max_length=100, pattern=r"^\S(.*\S)?$")]
Names = Annotated[list[PersonName], Field(min_length=1, max_length=100)]


class ApproversSpec(Part):
    """Who may approve anything in this migration, and how they show who they are."""

    names: Names | None = Field(
        None, description="Who may answer; default: anybody. With sign-in: as the claim says it.")
    tokens: bool = Field(
        False, description="An answer needs a personal token, or a person signed in at the console."
    )
    four_eyes: bool = Field(
        False, description="Who started it may not be the only one who approves.")


class ApprovalSpec(Part):
    """Who must agree before the next stage."""

    approvers: int = Field(1, ge=1, le=10, strict=True, description="Number of different people.")
    names: Names | None = Field(None, description="Who may answer; default: `approvers.names`.")
    tokens: bool | None = Field(None, description="Default: `approvers.tokens`.")
    four_eyes: bool | None = Field(None, description="Default: `approvers.four_eyes`.")


class ReviewsSpec(Part):
    """Checkpoints while a stage soaks: its approvers look at it and say whether it goes on."""

    every: Duration = Field(
        ge=timedelta(seconds=1), description="How often people are asked, from the stage's start.")
