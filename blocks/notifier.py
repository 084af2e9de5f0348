"""Telling people, as a Prefect block."""

from __future__ import annotations

import os

import httpx
from prefect.blocks.core import Block
from pydantic import Field, SecretStr


class NotifierBlock(Block):
    """Webhooks that are told what happened: a JSON object with `text` and the facts.

    Example:
        ```python
        from blocks import NotifierBlock

        NotifierBlock.load("documents").notify("cutover promoted", {"migration": "documents"})
        ```
    """

    _block_type_name = "Changeover Notifier"
    _block_type_slug = "changeover-notifier"
    _description = "Webhooks that are told of approvals asked, rollbacks and the end."

    webhooks: list[SecretStr] = Field(default=[], description="Addresses that are posted to.")
    variables: list[str] = Field(
        default=[], description="Environment variables on the worker that hold such addresses."
    )
    timeout_seconds: float = Field(default=5.0, gt=0, description="Longest wait for each.")

    def notify(self, text: str, facts: dict[str, str]) -> list[str]:
        """Post to every webhook and return one sentence for each that failed.

        Args:
            text: One sentence for people.
            facts: Names and values beside it.
        """
        addresses = [hook.get_secret_value() for hook in self.webhooks]
        addresses += [os.environ[name] for name in self.variables if name in os.environ]
        missing = [name for name in self.variables if name not in os.environ]
        problems = [f"the variable {name} is not set" for name in missing]
        for number, address in enumerate(addresses, 1):
            try:
                httpx.post(
                    address, json={"text": text, **facts}, timeout=self.timeout_seconds
                ).raise_for_status()
            except httpx.HTTPStatusError as error:
                problems.append(f"webhook {number} answered {error.response.status_code}")
            except httpx.HTTPError as error:
                problems.append(f"webhook {number} was not told: {type(error).__name__}")
        return problems
