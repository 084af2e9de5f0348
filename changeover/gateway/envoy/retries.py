"""When a request is tried a second time: never when it may have run, unless it is safe. Pure."""

from __future__ import annotations

from changeover.gateway.envoy.matching import string

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
IS_SAFE = string(":method", {"safe_regex": {"regex": "|".join(SAFE_METHODS)}})
"""The match of requests that may run twice."""
# A POST that may have run is never sent again; a frozen system made 140 run twice.
FAILED_BEFORE_SENT = "connect-failure,refused-stream,reset-before-request"
FAILED_AT_ALL = "connect-failure,refused-stream,reset,5xx"
