"""Notifying people, as a Prefect block."""

from __future__ import annotations

import os

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.schema import SchemaOnce
from changeover.domain.messages import Severity
from changeover.notify.channels import Channel, send


class NotifierBlock(SchemaOnce, Block):
    """Webhooks and Apprise services that can be notified at once, for instance to try them.

    Messages of flows go through the store, and the observer sends them (`changeover.notify`).

    Example:
        ```python
        from blocks import NotifierBlock

        NotifierBlock.load("documents").notify("cutover promoted", {"migration": "documents"})
        ```
    """

    _block_type_name = "Changeover Notifier"
    _block_type_slug = "changeover-notifier"
    _description = "Webhooks and Apprise services that hear of approvals, rollbacks and ends."

    addresses: list[SecretStr] = Field(default=[], description="Webhooks and Apprise URLs.")
    variables: list[str] = Field(
        default=[], description="Environment variables of the worker that contain such addresses."
    )

    def notify(
        self, text: str, facts: dict[str, str], severity: Severity = Severity.INFO
    ) -> list[str]:
        """Notify everyone; return one sentence for each that could not be notified.

        Args:
            text: One sentence for people.
            facts: Names and values beside it.
            severity: info, warning or critical.
        """
        known = [hook.get_secret_value() for hook in self.addresses]
        problems = []
        # Read on the worker at the last moment: Prefect's database never has these addresses.
        for name in self.variables:
            if name in os.environ:
                known.append(os.environ[name])
            else:
                problems.append(f"the variable {name} is not set")
        body = "\n".join(f"{name}: {value}" for name, value in facts.items())
        for address in known:
            # Apprise has schemes of its own (`slack://`, `mailto://`).
            is_webhook = address.startswith(("http://", "https://"))
            channel = Channel(address, Severity.INFO, is_webhook)
            if problem := send(channel, title=text, body=body, severity=severity, facts=facts):
                problems.append(problem)
        return problems
