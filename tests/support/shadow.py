"""The shadow service with its share of a busy machine: as `python -m changeover.shadow`."""

from __future__ import annotations

import sys

from changeover.shadow import __main__ as service

if __name__ == "__main__":
    service._lower_priority = lambda: None
    sys.exit(service.main())
