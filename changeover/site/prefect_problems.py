"""What is said when Prefect's API gives no answer that one can work with. Pure."""

from __future__ import annotations

from typing import Any

from changeover.errors import Unreachable

_LOG = "its log (logs/prefect-server.log of `changeover up`)"


def problem(error: Exception, method: str, path: str, url: str) -> Unreachable:
    """Return what to raise.

    Args:
        error: What httpx raised, or the error of an answer that is no JSON.
        method, path: What was asked.
        url: Where, as people know it.
    """
    answer: Any = getattr(error, "response", None)
    if answer is None:
        return Unreachable(
            f"Prefect's API does not answer ({type(error).__name__})", where=url,
            next_step=f"Check whether the server runs: `changeover status`, and {_LOG}; traffic "
            "stays as it is")
    # the status alone: an answer's text may repeat what was sent
    status = f"{answer.status_code} {answer.reason_phrase}".strip()
    does = "failed at" if answer.is_server_error else "refused"
    return Unreachable(
        f"Prefect's API {does} {method} {path.partition('?')[0]}: {status}", where=url,
        next_step=f"See {_LOG}; traffic stays as it is")
