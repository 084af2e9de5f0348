"""The store as a Prefect block."""

from __future__ import annotations

from pathlib import Path

from prefect.blocks.core import Block
from pydantic import Field

from blocks.schema import SchemaOnce
from changeover.site.home import Home
from changeover.store.engine import Store


class StoreBlock(SchemaOnce, Block):
    """The database with everything that was measured and decided.

    The block has the home directory only. The database's address may contain a password, and
    everyone who reaches Prefect's API can read a block: the address stays in that directory's
    `secrets.json`, or in the variable `CHANGEOVER_STORE_URL`.

    Example:
        ```python
        from blocks import StoreBlock

        store = StoreBlock.load("documents").get_client()
        ```
    """

    _block_type_name = "Changeover Store"
    _block_type_slug = "changeover-store"
    _description = "The SQL database of a migration: routing state, measurements, decisions."

    home: str = Field(description="Home directory of `changeover up` on the worker's machine.")

    def get_client(self) -> Store:
        """Return the opened store.

        Raises:
            StoreError: The database cannot be used, or is of another version.
        """
        return Store.open(Home(Path(self.home)).store_url)
