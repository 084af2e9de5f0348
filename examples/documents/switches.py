"""The engine's flags, as the console has them; off while nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from changeover.errors import Unreachable
from changeover.sdk.feed import Feed

DEFAULTS: dict[str, Any] = {
    "enable_node_engine": False, "enable_workflow_editor": False, "enable_ai_nodes": False,
    "enable_umi_ocr": False, "enable_llm_processing": False, "enable_advanced_ocr": False,
    "enable_api_gateway": False, "enable_external_integration": False,
    "ai_concurrency_limit": 1, "memory_limit_mb": 6656, "response_time_threshold_ms": 200,
    "debug_mode": False, "log_level": "WARNING",
}
"""What is true without a console."""


class Switches:
    """The flags.

    Args:
        console: The console's address; None for the defaults.
    """

    def __init__(self, console: str | None) -> None:
        self._feed = Feed.from_console(console) if console else None
        if self._feed:
            # the console is started after the systems: the feed goes on asking
            with suppress(Unreachable):
                self._feed.start(wait=0)

    def is_on(self, name: str, user: str = "") -> bool:
        """Whether a flag is on for a user."""
        return bool(self.value(name, user))

    def value(self, name: str, user: str = "") -> Any:
        """Return a flag's value for a user."""
        default = DEFAULTS[name]
        if self._feed is None:
            return default
        return self._feed.value(name, default, user or None)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have a function called at every change."""
        if self._feed:
            self._feed.subscribe(lambda _: listener())

    def stop(self) -> None:
        """Ask the console no more."""
        if self._feed:
            self._feed.stop()
