"""The issues that people open, and GitHub's deliveries about them. Pure: a number in, a body out.

Each number is always the same issue, so that runs can be compared. One of ten is filled in as
people fill in forms: in lower case, with quotes, with a unit behind the number.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CARELESS_SHARE = 0.1
_COUNTRIES = (("BG", 3), ("CH", 2), ("EE", 3), ("ES", 3), ("FI", 3), ("GR", 3), ("HU", 2),
              ("IE", 3), ("LT", 3), ("LU", 2), ("LV", 3), ("NO", 3), ("PT", 3), ("RO", 3),
              ("SI", 2), ("SK", 1))
_TYPOS = (("recieve", "receive"), ("adress", "address"), ("seperately", "separately"))
_QUESTIONS = ("How do I price a parcel to two places?", "Why does the price have no VAT?",
              "Is it possible to ask for prices in kroner?")


@dataclass(frozen=True, slots=True)
class Told:
    """What somebody wrote."""

    title: str
    body: str


def told(number: int) -> Told:
    """Return the issue of a number."""
    draw = random.Random(number)
    kind = draw.choices((_zone, _setting, _typo, _question), (4, 2, 2, 2))[0]
    return kind(draw, draw.random() < CARELESS_SHARE / 0.6)


def _zone(draw: random.Random, is_careless: bool) -> Told:
    country, zone = draw.choice(_COUNTRIES)
    title = f"Deliver to {country}, too"
    if is_careless:
        return Told(title, _form(country=f"`{country.lower()}`", zone=f"zone {zone}"))
    return Told(title, _form(country=country, zone=str(zone)))


def _setting(draw: random.Random, is_careless: bool) -> Told:
    if is_careless:  # another setting has the same value
        return Told("Raise RETRY_SECONDS", _form(setting="RETRY_SECONDS", value="20 s"))
    name, value = draw.choice((("BASE_PRICE", 6), ("PRICE_PER_KG", 3)))
    return Told(f"Raise {name} to {value}", _form(setting=name, value=str(value)))


def _typo(draw: random.Random, _is_careless: bool) -> Told:
    wrong, right = draw.choice(_TYPOS)
    return Told(f"Typo in the README: {wrong}", _form(wrong=wrong, right=right))


def _question(draw: random.Random, _is_careless: bool) -> Told:
    return Told(draw.choice(_QUESTIONS), "I looked through the code and found nothing.")


def _form(**fields: str) -> str:
    """Return what GitHub makes of an issue form."""
    return "\n\n".join(f"### {name.capitalize()}\n\n{value}" for name, value in fields.items())


def event(number: int, action: str = "opened", repository: str = "acme/parcels") -> dict[str, Any]:
    """Return the body of a delivery about an issue, in the shape that GitHub documents.

    Args:
        number: The issue's.
        action: What happened to it.
        repository: Its repository's full name.
    """
    issue, (owner, name) = told(number), repository.split("/")
    home = f"https://github.example/{repository}"
    user = {"login": "octocat", "id": 1, "type": "User", "site_admin": False}
    found: dict[str, Any] = {
        "action": action,
        "issue": {
            "id": 1_000_000 + number, "number": number, "title": issue.title, "body": issue.body,
            "state": "open", "locked": False, "comments": 0, "labels": [], "assignees": [],
            "user": user, "author_association": "NONE", "html_url": f"{home}/issues/{number}",
            "created_at": "2026-11-29T12:00:00Z", "updated_at": "2026-11-29T12:00:00Z",
            "closed_at": None},
        "repository": {
            "id": 1, "name": name, "full_name": repository, "private": False, "fork": False,
            "owner": {**user, "login": owner, "type": "Organization"}, "html_url": home,
            "default_branch": "main"},
        "organization": {"login": owner, "id": 2},
        "sender": user,
    }
    return found | _FURTHER.get(action, dict)()


_FURTHER: dict[str, Callable[[], dict[str, Any]]] = {
    "edited": lambda: {"changes": {"title": {"from": "an older title"}}},
    "labeled": lambda: {"label": {"id": 7, "name": "triage", "color": "ededed"}},
    "assigned": lambda: {"assignee": {"login": "octocat", "id": 1, "type": "User"}},
}
