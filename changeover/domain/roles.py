"""The names of whose rights on the store there are; `site.rights` says which rights. Pure."""

from __future__ import annotations

ROLES = ("node", "observer", "console", "shadow", "worker", "approver", "reader", "main")
