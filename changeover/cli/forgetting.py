"""`changeover forget-gateway`: a node that is dead is not waited for any more."""

from __future__ import annotations

import click

from changeover.cli.common import Session, anywhere_command
from changeover.cli.saying import why_option
from changeover.domain.audit import Author
from changeover.procedures import by_hand


@click.command("forget-gateway", epilog="""
\b
Example:
  changeover forget-gateway edge-3 --reason 'its machine was switched off'
""")
@click.argument("name")
@why_option
@anywhere_command
def forget_gateway(session: Session, name: str, reason: str) -> None:
    """Remove a gateway node that is dead: nobody waits for what it may have measured.

    A node that was not heard of keeps the baseline from being retired, and is named for 24 h, since
    its Envoy may serve users still. Switch it off, or take it out of the load balancer, first.
    Refused while the node gives signs of life; one that comes back is counted again.
    """
    done = by_hand.forget_gateway(session.site, Author(session.actor, reason), name)
    session.show(done.text, done.data)
