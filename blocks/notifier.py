"""Telling people, as a Prefect block."""

from __future__ import annotations

import os

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.schema import SchemaOnce
from changeover.domain.messages import Severity
from changeover.notify.channels import Channel, send


class NotifierBlock(SchemaOnce, Block):
    """Webhooks and Apprise services that can be told at once, for instance to try them.

    What flows tell goes through the store and is sent by the observer (`changeover.notify`).

    Example:
        ```python
        from blocks import NotifierBlock

        NotifierBlock.load("documents").notify("cutover promoted", {"migration": "documents"})
        ```
    """

    _block_type_name = "Changeover Notifier"
    _block_type_slug = "changeover-notifier"
    _description = "Webhooks and Apprise services that are told of approvals, rollbacks, the end."

    addresses: list[SecretStr] = Field(default=[], description="Webhooks and Apprise URLs.")
    variables: list[str] = Field(
        default=[], description="Environment variables on the worker that hold such addresses."
    )

    def notify(
        self, text: str, facts: dict[str, str],
        severity: Severity = Severity.INFO,
    ) -> list[str]:
        """Tell everyone and return one sentence for each that could not be told.

        Args:
            text: One sentence for people.
            facts: Names and values beside it.
            severity: info, warning or critical.
        """
        known = [hook.get_secret_value() for hook in self.addresses]
        known += [os.environ[name] for name in self.variables if name in os.environ]
        problems = [f"the variable {n} is not set" for n in self.variables if n not in os.environ]
        for address in known:
            channel = Channel(address, Severity.INFO, address.startswith(("http://", "https://")))
            body = "\n".join(f"{name}: {value}" for name, value in facts.items())
            if problem := send(channel, title=text, body=body, severity=severity, facts=facts):
                problems.append(problem)
        return problems
