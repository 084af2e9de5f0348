"""The store as a Prefect block."""

from __future__ import annotations

import os
from pathlib import Path

from prefect.blocks.core import Block
from pydantic import Field

from blocks.schema import SchemaOnce
from changeover.site.elsewhere import refused
from changeover.site.home import STORE_VARIABLE, Home
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

    home: str = Field(default="", description="Home directory of `changeover up` on its machine.")

    def get_client(self) -> Store:
        """Return the opened store.

        Raises:
            InvalidInput: Nothing here says which database it is.
            StoreError: The database cannot be used, or is of another version.
        """
        is_here = self.home and Path(self.home).is_dir()
        if not is_here and not os.environ.get(STORE_VARIABLE):
            raise refused(self.home)
        return Store.open(Home(Path(self.home)).store_url)
