"""Options with which a person says who they are and why; both stay in the audit for good."""

from __future__ import annotations

import click

from changeover.domain.tokens import tokens_in, without_tokens
from changeover.errors import InvalidInput

LEAST_OF_NAME, MOST_OF_NAME = 2, 100
"""Characters of a name, as in the form on Prefect's page."""
MOST_OF_REASON = 2000


def _name(_context: click.Context, _option: click.Parameter, value: str) -> str:
    name = value.strip()
    if tokens_in(name):
        raise InvalidInput(
            f"{without_tokens(name)!r} is a token and no name", where="--approver",
            allowed="your name; the command asks for the token",
            next_step="It is in your shell's history now: `changeover approver rotate` ends it")
    if not LEAST_OF_NAME <= len(name) <= MOST_OF_NAME:
        raise InvalidInput(
            f"{_short(value)} is no name", where="--approver",
            allowed=f"{LEAST_OF_NAME} to {MOST_OF_NAME} characters")
    return name


def no_secret(_context: click.Context, option: click.Parameter, value: str) -> str:
    """Return a text for the audit without the secrets of tokens, and say so: nothing is refused.

    A rollback, too, has a reason, and must not wait for another one.
    """
    if not tokens_in(value):
        return value
    said = "its secret is not stored, but it is in your shell's history; revoke it"
    click.echo(f"note: a token stands in {option.opts[0]}: {said}", err=True)
    return without_tokens(value)


def _reason(context: click.Context, option: click.Parameter, value: str) -> str:
    reason = no_secret(context, option, value).strip()
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
