"""Recorded traffic against both systems: HAR and JSON lines in, comparisons out."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import orjson

from changeover import clock
from changeover.errors import InvalidInput
from changeover.plan.model import Plan
from changeover.routing import System
from changeover.shadow.calls import Caller
from changeover.shadow.judging import Judge
from changeover.shadow.tap import Exchange
from changeover.store import plans
from changeover.store.comparisons import Compared
from changeover.store.engine import Store

SAFE = ("GET", "HEAD", "OPTIONS")
MOST_BYTES = 1 << 30
TIMEOUT_SECONDS = 30.0


def load(file: Path, *, with_unsafe: bool) -> tuple[list[Exchange], int]:
    """Return the recorded requests of a file, and how many were left out as unsafe.

    Args:
        file: HAR 1.2 (a JSON document with `log.entries`), or one JSON object a line.
        with_unsafe: Whether to return POST, PUT, PATCH and DELETE too.

    Raises:
        InvalidInput: The file cannot be read, or an entry is not a request; says which.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise InvalidInput("larger than 1 GiB", where=str(file), next_step="Split it")
        content = file.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot be read: {error.strerror}", where=str(file)) from error
    found = [_request(entry, where) for entry, where in _entries(content, str(file))]
    if not found:
        raise InvalidInput("has no requests", where=str(file))
    kept = [each for each in found if with_unsafe or each.method in SAFE]
    return kept, len(found) - len(kept)


def _entries(content: bytes, name: str) -> Iterator[tuple[Any, str]]:
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError:
        whole = None
    if isinstance(whole, dict) and "log" in whole:
        entries = whole["log"].get("entries") if isinstance(whole["log"], dict) else None
        if not isinstance(entries, list):
            raise InvalidInput("has no log.entries, as HAR has", where=name)
        for number, entry in enumerate(entries):
            request = entry.get("request") if isinstance(entry, dict) else None
            yield _of_har(request, f"{name}: entry {number}"), f"{name}: entry {number}"
        return
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                yield orjson.loads(line), f"{name}:{number}"
            except orjson.JSONDecodeError as error:
                raise InvalidInput(f"is neither HAR nor JSON lines: {error}",
                                   where=f"{name}:{number}") from error


def _of_har(request: Any, where: str) -> dict[str, Any]:
    """Return a HAR request as a line of JSON lines."""
    if not isinstance(request, dict) or not isinstance(request.get("url"), str):
        raise InvalidInput("has no request with a url", where=where)
    parts = urlsplit(request["url"])
    body = request.get("postData") or {}
    return {
        "method": request.get("method", "GET"),
        "path": (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        "headers": {h["name"]: h["value"] for h in request.get("headers", [])
                    if isinstance(h, dict) and not str(h.get("name", ":")).startswith(":")},
        "body": body.get("text", "") if isinstance(body, dict) else "",
    }


def _request(entry: Any, where: str) -> Exchange:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str) \
            or not entry["path"].startswith("/"):
        raise InvalidInput("is not a request", where=where,
                           allowed='{"method": "GET", "path": "/…", "headers": {}, "body": ""}')
    headers = entry.get("headers") or {}
    if not isinstance(headers, dict):
        raise InvalidInput("headers must be an object", where=where)
    body = base64.b64decode(entry["base64"]) if entry.get("base64") \
        else str(entry.get("body") or "").encode()
    return Exchange(
        str(entry.get("method", "GET")).upper(), entry["path"],
        tuple((str(k).lower(), str(v)) for k, v in headers.items() if str(k).lower() != "host"),
        body, 0, (), b"", datetime.now(UTC), 0.0,
    )


async def run(
    plan: Plan, recorded: list[Exchange], *, concurrency: int, on_done: Callable[[], None]
) -> list[Compared]:
    """Send every request to both systems and return the comparisons, in the order recorded.

    Args:
        plan: The plan with both systems and the rules.
        recorded: The requests.
        concurrency: Requests under way at once.
        on_done: Called after each, for a progress bar.
    """
    judge = Judge.of(plan.shadow, plan.comparison, today=datetime.now(UTC).date())
    callers = {
        system: Caller(plan.system(system), timeout=TIMEOUT_SECONDS, concurrency=concurrency)
        for system in System
    }
    gate = asyncio.Semaphore(concurrency)

    async def one(exchange: Exchange) -> Compared:
        async with gate:
            baseline = await callers[System.BASELINE].call(exchange)
            candidate = await callers[System.CANDIDATE].call(exchange)
            is_safe = exchange.method in SAFE
            again = await callers[System.BASELINE].call(exchange) if is_safe else None
        on_done()
        return judge.judged(
            at=exchange.at, request=f"{exchange.method} {exchange.path}",
            request_id=exchange.header("x-request-id"), baseline=baseline, candidate=candidate,
            again=again, keeps=False,
        )

    try:
        return await asyncio.gather(*(one(exchange) for exchange in recorded))
    finally:
        for caller in callers.values():
            await caller.close()


def has_baseline(one: Compared) -> bool:
    """Whether the baseline answered: without it nothing can be said about the candidate."""
    example = one.found.get("answer")
    return example is None or example.baseline is None


@contextmanager
def scratch_store(plan: Plan) -> Iterator[Store]:
    """Open a store that is gone afterwards: the findings are made as in production."""
    with TemporaryDirectory() as directory:
        store = Store.open(f"sqlite:///{directory}/replay.db", create=True)
        plans.register(store, plan, source="replay", now=clock.now())
        try:
            yield store
        finally:
            store.close()
