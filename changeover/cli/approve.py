"""The command that answers what awaits a decision: approve, hold or roll back."""

from __future__ import annotations

import click

from changeover.cli.bars import spinner
from changeover.cli.common import Session, anywhere_command
from changeover.cli.proving import token_if_needed
from changeover.domain.approvers import rules_of
from changeover.domain.rollout import ANSWERS, Answer, StageAction
from changeover.observer.carrying import describe_end
from changeover.procedures import answering


@click.command(epilog="""
\b
Examples:
  changeover approve promote --approver alice
  changeover approve hold --approver alice --comment "wait for Monday"
""")
@click.argument("decision", type=click.Choice([str(answer) for answer in ANSWERS]))
@click.option("--approver", required=True, help="Your name, for the audit.")
@click.option("--comment", default="", help="Why.")
@anywhere_command
def approve(session: Session, **answer: str) -> None:
    """Approve, hold or roll back what awaits a decision, as in Prefect's page."""
    site = session.site
    asked = answering.open_question(site)
    person, decision = answer["approver"], StageAction(answer["decision"])
    token_if_needed(session, person, rules_of(site.plan, asked.stage))
    given = Answer(decision, person, answer["comment"], "cli")
    asking = answering.Asking(site, asked, describe_end)
    # its process starts first
    with spinner("the flow takes the answer", is_hidden=session.output == "json"):
        done = answering.give(asking, given)
    data = {"stage": asked.stage, "decision": answer["decision"]}
    session.show(done.text, data | {"is_taken": done.is_taken})
