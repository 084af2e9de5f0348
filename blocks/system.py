"""One of the two systems as a Prefect block."""

from __future__ import annotations

from typing import Literal

import httpx
from prefect.blocks.core import Block
from pydantic import Field

from blocks.schema import SchemaOnce
from changeover.machine.http import new_client
from changeover.plan.endpoint import KEEP


class SystemBlock(SchemaOnce, Block):
    """The baseline or the candidate: its address and the path of its health check.

    Example:
        ```python
        from blocks import SystemBlock

        with SystemBlock.load("documents-candidate").get_client() as client:
            client.get("/health").raise_for_status()
        ```
    """

    _block_type_name = "Changeover System"
    _block_type_slug = "changeover-system"
    _description = "One system of a migration: its address and health path."

    role: Literal["baseline", "candidate"] = Field(description="Which of the two it is.")
    name: str = Field(description="Its name, for people.")
    url: str = Field(description="Its address: scheme, host and port, perhaps with a path that "
                     "stands before each request's.")
    host: str = Field(default=KEEP, description="The host that requests name; `keep`: the url's.")
    health: str = Field(default="/health", description="Path that answers 2xx while it is healthy.")
    timeout_seconds: float = Field(default=1.0, gt=0, description="Longest wait for an answer.")

    def get_client(self) -> httpx.Client:
        """Return an HTTP client with the system's address, host and time limit."""
        headers = {} if self.host == KEEP else {"host": self.host}
        return new_client(timeout=self.timeout_seconds, base_url=self.url, headers=headers)
