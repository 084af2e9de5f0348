"""How a person at the command line shows who they are: a token, never as an argument."""

from __future__ import annotations

import os
import sys

import click

from changeover.cli.common import Session
from changeover.domain.approvers import Rules
from changeover.domain.tokens import ApproverToken
from changeover.errors import ApprovalRefused
from changeover.procedures import proving

VARIABLE = "CHANGEOVER_APPROVER_TOKEN"


def token_if_needed(session: Session, name: str, rules: Rules) -> ApproverToken | None:
    """Return the person's token where the plan wants one; None where a typed name is enough."""
    if not rules.tokens:
        return None
    return token_of(session, name)


def token_of(session: Session, name: str) -> ApproverToken:
    """Return the token of the person who calls the command; asked for, unless the variable has it.

    Raises:
        ApprovalRefused: There is none, or it is not valid.
    """
    # an argument could be read in the list of processes, and in the shell's history
    text = os.environ.get(VARIABLE, "")
    if not text and sys.stdin is not None and sys.stdin.isatty():
        text = click.prompt(f"Token of {name}", hide_input=True, err=True)
    if not text:
        terminal = "call the command at a terminal, which asks for it"
        raise ApprovalRefused(
            f"nothing was changed because the plan wants {name}'s token",
            next_step=f"Set {VARIABLE}, or {terminal}")
    return proving.token(session.site, name, text)
