"""Options with which a person says who they are and why; both stay in the audit for good."""

from __future__ import annotations

import click

from changeover.errors import InvalidInput

LEAST_OF_NAME, MOST_OF_NAME = 2, 100
"""Characters of a name, as in the form on Prefect's page."""
MOST_OF_REASON = 2000


def _name(_context: click.Context, _option: click.Parameter, value: str) -> str:
    name = value.strip()
    if not LEAST_OF_NAME <= len(name) <= MOST_OF_NAME:
        raise InvalidInput(
            f"{_short(value)} is no name", where="--approver",
            allowed=f"{LEAST_OF_NAME} to {MOST_OF_NAME} characters")
    return name


def _reason(_context: click.Context, _option: click.Parameter, value: str) -> str:
    reason = value.strip()
    if not 0 < len(reason) <= MOST_OF_REASON:
        raise InvalidInput(
            f"{_short(value)} is no reason", where="--reason",
            allowed=f"1 to {MOST_OF_REASON} characters")
    return reason


def _short(value: str) -> str:
    # a text of any length must not fill the screen
    if len(value) > MOST_OF_NAME:
        value = f"{value[:MOST_OF_NAME]}…"
    return repr(value)


why_option = click.option(
    "--reason", required=True, callback=_reason, help="Why, for the audit.")
approver_option = click.option(
    "--approver", required=True, callback=_name, help="Your name, for the audit.")
