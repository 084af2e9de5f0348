"""How the example's Python services listen, and end so that nothing of theirs stays."""

from __future__ import annotations

import signal
import sys

import uvicorn
from fastapi import FastAPI


def serve(app: FastAPI, port: int) -> None:
    """Serve on this machine until ended; what the caller holds in `with` is closed then."""
    # uvicorn gives the signal back when it is done, and by itself that would end us on the spot
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", timeout_keep_alive=60,
                timeout_graceful_shutdown=5)
