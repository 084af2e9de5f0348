"""Markdown that tells people who may answer a question, and what they need for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from changeover.domain.approvers import Rules
from reports import text


def who_may(rules: Rules, begun_by: Sequence[str]) -> str:
    """Return who may answer; empty when anybody may by a typed name."""
    if not rules.text:
        return ""
    names = "anybody" if rules.names is None else ", ".join(rules.names) or "nobody"
    lines = [f"**Who may answer:** {text.markdown(names)}."]
    if rules.four_eyes:
        begun = f"{text.markdown(', '.join(begun_by))} started it" if begun_by \
            else "nobody knows who started it, so two people must agree"
        lines.append(f"Who started it may not be the only one who agrees: {begun}.")
    if rules.tokens:
        lines.append(
            "**Code:** `changeover approver code promote --approver YOU` shows it (or `hold`, "
            "`rollback`). It is valid once, for ten minutes, for this question and this "
            "decision. Never type your token here.")
    return " ".join(lines)
