"""Which HTTP the gateway accepts and forwards: what the systems accept, within limits. Pure.

The gateway refuses only what would let two readers of the same bytes see different requests
(smuggling), and what Envoy cannot carry; docs/gateway.md lists both. Everything here is used three
times: for users, for the second hop before a system, and towards the systems.
"""

from __future__ import annotations

from typing import Any

from changeover.plan.endpoint import HttpVersion

Json = dict[str, Any]

MOST_HEADERS = 1_000
"""Header lines of a request or an answer. Envoy's own limit is 100; shops set more cookies."""
MOST_HEADER_KB = 1_024
"""Kilobytes of them together, with the path. Envoy's own limit is 60; Go's servers accept this."""
NO_HOST = "localhost"
"""The host of HTTP/1.0 requests without `Host`; HTTP/1.1 towards the systems needs one."""
UPGRADES = ["websocket"]
"""Protocols that users may switch to. Each is one word of lower-case letters."""
ENVOYS_OWN = ("x-envoy-external-address", "x-envoy-internal")
"""Headers with the user's address besides `X-Forwarded-For`, which no system needs."""
RUNTIME: Json = {
    # A fragment is no part of a request (RFC 9112, section 3.2): it is left out, not refused.
    "envoy.reloadable_features.http_reject_path_with_fragment": False,
}
_HTTP2: Json = {"http2_protocol_options": {
    # Websockets go as extended CONNECT (RFC 8441), to systems that offer it.
    "allow_connect": True,
    # A connection that died is found by this; all streams of a process share it.
    "connection_keepalive": {"interval": "10s", "timeout": "5s"},
}}
_TYPE = "type.googleapis.com/envoy."
_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def accepted() -> Json:
    """Return the connection manager's settings for requests of any client."""
    return {
        "http_protocol_options": {
            **_http1(),
            "accept_http_10": True,
            "default_host_for_http_10": NO_HOST,
            # Java's client offers h2c with every request; the request is answered without it.
            "ignore_http_11_upgrade": [{"safe_regex": {"regex": all_but(UPGRADES[0])}}],
        },
        "max_request_headers_kb": MOST_HEADER_KB,
        # The system says whether it wants the body, not the gateway.
        "proxy_100_continue": True,
        "upgrade_configs": [{"upgrade_type": name} for name in UPGRADES],
    }


def common(*, spare: int = 0) -> Json:
    """Return the limits that apply in both directions, on both sides of the gateway.

    Args:
        spare: Header lines more than users may send: the second hop gets what the gateway adds.
    """
    return {"max_headers_count": MOST_HEADERS + spare}


def towards_system(version: HttpVersion = "http1", **also: Any) -> Json:
    """Return a cluster's options for HTTP with a system.

    Args:
        version: What the system speaks.
        also: More options that are common to all versions of HTTP, as `idle_timeout`.
    """
    return {_OPTIONS: {
        "@type": f"{_TYPE}{_OPTIONS.removeprefix('envoy.')}",
        "common_http_protocol_options": {
            **common(), "max_response_headers_kb": MOST_HEADER_KB, **also},
        "explicit_http_config": _HTTP2 if version == "http2" else {"http_protocol_options": {
            **_http1(),
            # An answer with both lengths: the chunks count, as for every client (RFC 9112, 6.3).
            # A request with both is refused: that is how requests are smuggled.
            "allow_chunked_length": True,
        }},
    }}


def all_but(word: str) -> str:
    """Return a regular expression (RE2) for every text but `word`, in whatever case.

    RE2 has no "not", so this lists how a text may differ: it ends or differs at one of the letters,
    or it continues after the last one.
    """
    others = []
    for place, letter in enumerate(word):
        others.append(f"{word[:place]}(?:[^{letter}].*)?")
    others.append(word + ".+")
    return f"(?is)(?:{'|'.join(others)})"


def _http1() -> Json:
    """Return what both sides of HTTP/1 do: names as they were written, any method, trailers."""
    return {
        # HTTP does not tell cases apart, but some systems and clients do (docs/gateway.md).
        "header_key_format": {"stateful_formatter": {
            "name": "envoy.http.stateful_header_formatters.preserve_case",
            "typed_config": {
                "@type": f"{_TYPE}extensions.http.header_formatters.preserve_case.v3."
                "PreserveCaseFormatterConfig",
                "forward_reason_phrase": True,
            },
        }},
        # Envoy 1.40 calls this one unfinished; without it WebDAV's rarer methods get 400.
        "allow_custom_methods": True,
        "enable_trailers": True,
    }
