"""The gateway as a Prefect block."""

from __future__ import annotations

from pathlib import Path

from prefect.blocks.core import Block
from pydantic import Field

from blocks.schema import SchemaOnce
from changeover.errors import InvalidInput
from changeover.gateway.publish import PATIENT_SECONDS, Gateway
from changeover.site.home import Home


class GatewayBlock(SchemaOnce, Block):
    """The Envoy that routes a migration's traffic; it is controlled through its files.

    Example:
        ```python
        from blocks import GatewayBlock

        gateway = GatewayBlock.load("documents").get_client()
        ```
    """

    _block_type_name = "Changeover Gateway"
    _block_type_slug = "changeover-gateway"
    _description = "The Envoy gateway of a migration: publishes routes and says which it serves."

    home: str = Field(
        default="", description="Home directory of `changeover up` on its machine.")

    def get_client(self) -> Gateway:
        """Return the gateway; no connection is made yet.

        Raises:
            InvalidInput: There is no main machine: gateway nodes follow the store by themselves.
        """
        if not self.home:
            raise InvalidInput(
                "the migration has no gateway that is reached through files",
                next_step="Move users with flows or with the command line, through the store")
        # Flows ask once, so they wait for a busy machine; the observer would only ask again.
        return Gateway(Home(Path(self.home)).gateway_files, patience=PATIENT_SECONDS)
