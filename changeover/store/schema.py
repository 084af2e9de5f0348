"""Every table of the store: SQLAlchemy knows a table when its module was imported."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from changeover import store
from changeover.store.base import Base

for _module in pkgutil.iter_modules(store.__path__, f"{store.__name__}."):
    if not _module.ispkg:
        import_module(_module.name)

METADATA = Base.metadata
