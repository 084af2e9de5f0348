"""Tokens that stand in what somebody wrote: others can read them there, so they are revoked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.orm import Session

from changeover.domain.tokens import tokens_in
from changeover.store import approver_tokens, tokens


def revoke_in(session: Session, texts: Iterable[str], *, now: datetime) -> str:
    """Revoke every token in some texts, within the caller's transaction.

    Returns:
        Why what was said with them does not count; empty when no text has a token in it.
    """
    found = [each for text in texts for each in tokens_in(text)]
    if not found:
        return ""
    gone = [each for each in found if approver_tokens.revoke_in(session, each, now=now)
            or tokens.revoke_in(session, each, now=now)]
    if gone:
        return ("a token was typed where others can read it, so it was revoked; "
                "`changeover approver rotate` makes another")
    return ("what was typed has the form of a token, and others can read it there; if it is one, "
            "revoke it")
