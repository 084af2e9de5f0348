"""OFREP, OpenFeature's remote evaluation protocol, and the snapshots for our own provider.

    POST /ofrep/v1/evaluate/flags/{key}   one flag
    POST /ofrep/v1/evaluate/flags         all flags, with ETag and 304
    GET  /ofrep/v1/events                 server-sent events: `refetchEvaluation`
    GET  /v1/flags/snapshot?wait=10       everything, for evaluation in the application; long poll
    GET  /v1/flags/lists/{sha256}         the users that a segment lists, one a line
    GET  /v1/explain?key=user-7           which system a user gets, and why; attributes as text
    POST /v1/explain                      the same for a context of the protocol

While the store cannot be read the last answers go on, marked: `stale` in the metadata, and 503 for
those who have the snapshot already.

Source: OFREP 0.3.0, https://github.com/open-feature/protocol, `service/openapi.yaml`; its ADR 0008
for the events. Everything here only reads; who may read, and that nothing is cached on the way, is
the application's to decide. How a client sees the routes is in `describing`.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

import orjson
import xxhash
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from changeover import clock
from changeover.console.asking import Problem, asked, context_of, parsed, read
from changeover.errors import InvalidInput
from changeover.flags.evaluate import Evaluation, Reason
from changeover.flags.explain import explain
from changeover.flags.snapshot import is_behind, to_document, user_list_of
from changeover.sdk.feed import LatestFlags

MOST_STREAMS = 1_000
MOST_LISTS = 8
"""Lists of users that are sent at once: they are large, and providers ask for each only once."""
_PIECE = 64 << 10
LONGEST_WAIT_SECONDS = 30.0
KEEP_ALIVE_SECONDS = 15.0
"""A line so often: proxies close connections on which nothing comes for long."""
CATCH_UP_SECONDS = 1.0
LISTS_PATH = "/v1/flags/lists/{sha256}"
EVENTS_PATH = "/ofrep/v1/events"
NOT_YET = "there are no flags yet; try again"
_JSON = [(b"content-type", b"application/json")]


class Snapshots(Protocol):
    """What these routes need: `changeover.sdk.feed.Feed` is one."""

    @property
    def latest(self) -> LatestFlags | None:
        """What answers now; None before the first snapshot."""

    def subscribe(self, listener: Callable[[LatestFlags], None]) -> Callable[[], None]:
        """Call `listener` from any thread at every change; return what ends that."""


def routes(snapshots: Snapshots) -> list[Route]:
    """Return the routes, for a FastAPI or Starlette application to include."""
    ofrep = _Ofrep(snapshots)
    reading = _Reading(snapshots)
    return [
        Route("/ofrep/v1/evaluate/flags", ofrep.bulk, methods=["POST"]),
        Route("/ofrep/v1/evaluate/flags/{key:path}", _Single(ofrep), methods=["POST"]),
        Route(EVENTS_PATH, _Events(snapshots).stream, methods=["GET"]),
        Route("/v1/flags/snapshot", reading.snapshot, methods=["GET"]),
        Route(LISTS_PATH, reading.user_list, methods=["GET"]),
        Route("/v1/explain", reading.explain, methods=["GET", "POST"]),
    ]


class _Ofrep:
    """Evaluates requests; the JSON of every possible answer of a snapshot is made once."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        # kept as long as the evaluation itself lives, which is as long as its snapshot
        self._made: dict[bool, weakref.WeakKeyDictionary[Evaluation, bytes]] = {
            False: weakref.WeakKeyDictionary(),
            True: weakref.WeakKeyDictionary(),
        }
        stream = {"type": "sse", "endpoint": {"requestUri": EVENTS_PATH}}
        self._streams = orjson.dumps([stream | {"inactivityDelaySec": 120}])

    def latest(self) -> LatestFlags:
        """Return what answers now.

        Raises:
            Problem: There is no snapshot yet.
        """
        latest = self._snapshots.latest
        if latest is None:
            raise Problem(503, "PROVIDER_NOT_READY", NOT_YET)
        return latest

    def single(self, flag: str, body: bytes) -> bytes:
        """Return the answer for one flag.

        Raises:
            Problem: The request is not one, or there is no such flag.
        """
        key, context = context_of(parsed(body))
        latest = self.latest()
        found = latest.evaluator.evaluate(flag, key, context)
        if found.failure is not None:
            raise Problem(404, found.failure.value, found.why)
        return self._json(found, latest.is_stale)

    async def bulk(self, request: Request) -> Response:
        """Evaluate all flags for one context."""
        try:
            key, context = context_of(parsed(await read(request.receive)))
            await self._catch_up(request.query_params)
            latest = self.latest()
        except Problem as problem:
            return _failed(problem)
        is_stale, evaluator = latest.is_stale, latest.evaluator
        flags = []
        for flag in evaluator.keys:
            found = evaluator.evaluate(flag, key, context)
            flags.append(self._json(found, is_stale))
        snapshot = evaluator.snapshot
        facts = {
            "migration": snapshot.state.migration,
            "environment": snapshot.environment, **_marks(is_stale),
        }
        body = b'{"flags":[%b],"eventStreams":%b,"metadata":%b}' % (
            b",".join(flags), self._streams, orjson.dumps(facts))
        # of the whole answer: the same flags for another user are another answer
        etag = f'"{xxhash.xxh3_128_hexdigest(body)}"'
        headers = {"ETag": etag}
        if _matches(request.headers, etag):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")

    async def _catch_up(self, query: QueryParams) -> None:
        """Wait a moment for the configuration that an event of another console announced."""
        wanted = query.get("flagConfigEtag", "").strip('"')

        def is_there(latest: LatestFlags) -> bool:
            return not is_behind(latest.evaluator.snapshot.etag, wanted)

        if wanted:
            await wait_until(self._snapshots, CATCH_UP_SECONDS, is_there)

    def _json(self, found: Evaluation, is_stale: bool) -> bytes:
        made = self._made[is_stale].get(found)
        if made is None:
            # the protocol's list of reasons has none for "no rule fits"
            reason = found.reason.value
            if found.reason is Reason.DEFAULT:
                reason = "UNKNOWN"
            metadata = {**found.metadata, "why": found.why}
            made = orjson.dumps({
                "key": found.key, "value": found.value,
                "reason": reason, "variant": found.variant,
                "metadata": metadata | _marks(is_stale),
            })
            self._made[is_stale][found] = made
        return made


def _marks(is_stale: bool) -> dict[str, bool]:
    """Return what metadata say of old answers; the protocol's reasons have no word for them."""
    return {"stale": True} if is_stale else {}


class _Single:
    """One flag, as a bare ASGI application: this is the request that comes thousands a second."""

    def __init__(self, ofrep: _Ofrep) -> None:
        self._ofrep = ofrep

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        flag, status = scope["path_params"]["key"], 200
        try:
            body = self._ofrep.single(flag, await read(receive))
        except Problem as problem:
            status, body = problem.status, problem.body(flag)
        length = b"content-length", b"%d" % len(body)
        await send({
            "type": "http.response.start", "status": status,
            "headers": [*_JSON, length]})
        await send({"type": "http.response.body", "body": body})


class _Events:
    """Notifies clients that there is something to fetch; they fetch it themselves."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._open = 0

    async def stream(self, request: Request) -> Response:
        """Open a stream; one that missed a change while it was away hears of it at once."""
        if self._open >= MOST_STREAMS:
            why = {"errorDetails": f"{MOST_STREAMS} streams are open"}
            return JSONResponse(why, 429, {"Retry-After": "5"})
        events = self._events(request.headers.get("last-event-id"))
        # nginx would collect events until its buffer is full
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(
            events, media_type="text/event-stream", headers=headers)

    async def _events(self, last: str | None) -> AsyncIterator[bytes]:
        self._open += 1
        try:
            latest = self._snapshots.latest
            seen = latest.evaluator.snapshot.etag if latest else ""
            # a client that was away names the last event: what it missed is said at once
            if last is not None:
                seen = last
            yield b"retry: 1000\n\n"
            while True:
                latest = await wait_until(
                    self._snapshots, KEEP_ALIVE_SECONDS, _is_other(seen))
                if latest is None or latest.evaluator.snapshot.etag == seen:
                    yield b": still here\n\n"
                    continue
                seen = latest.evaluator.snapshot.etag
                yield _event(latest)
        finally:
            self._open -= 1


def _event(latest: LatestFlags) -> bytes:
    snapshot = latest.evaluator.snapshot
    data: dict[str, Any] = {"type": "refetchEvaluation", "etag": snapshot.etag}
    if snapshot.changed_at is not None:
        data["lastModified"] = int(snapshot.changed_at.timestamp())
    # the id is what a client names when it comes back
    parts = snapshot.etag.encode(), orjson.dumps(data)
    return b"id: %b\nevent: message\ndata: %b\n\n" % parts


class _Reading:
    """Snapshots and explanations."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._lists = 0

    async def snapshot(self, request: Request) -> Response:
        """Send the snapshot, or wait until it is another than the one the client has."""
        known = request.headers.get("if-none-match", "").removeprefix("W/").strip('"')
        is_other, seconds = _is_other(known), _wait_of(request.query_params)
        if seconds is None:
            # a mistake of the client, not a wait of 0
            why = "`wait` must be seconds, from 0 on"
            return JSONResponse({"errorDetails": why}, 400)

        # a client that has an old snapshot hears at once that it may be stale
        def is_news(latest: LatestFlags) -> bool:
            return latest.is_stale or is_other(latest)

        if seconds > 0:
            waiting = wait_until(self._snapshots, seconds, is_news)
            await _unless_gone(request, waiting)
        latest = self._snapshots.latest
        if latest is None:
            return _unavailable(NOT_YET)
        # not 304: what the client has may be old, and it must know
        if not is_other(latest) and latest.is_stale:
            return _unavailable("the store cannot be read now: what you have may be old")
        snapshot = latest.evaluator.snapshot
        headers = {"ETag": f'"{snapshot.etag}"'}
        if not is_other(latest):
            return Response(status_code=304, headers=headers)
        body = orjson.dumps(to_document(snapshot))
        return Response(body, headers=headers, media_type="application/json")

    async def user_list(self, request: Request) -> Response:
        """Send the users that a segment lists; what has a digest never changes."""
        latest, sha256 = self._snapshots.latest, request.path_params["sha256"]
        if latest is None:
            return _unavailable(NOT_YET)
        found = user_list_of(latest.evaluator.snapshot, sha256)
        if found is None:
            return JSONResponse({"errorDetails": "no segment has this list now"}, 404)
        if self._lists >= MOST_LISTS:
            why = {"errorDetails": f"{MOST_LISTS} lists are being sent"}
            return JSONResponse(why, 429, {"Retry-After": "1"})
        return StreamingResponse(self._pieces(found.content), media_type="text/plain", headers={
            "content-length": str(len(found.content)), "cache-control": "private, immutable"})

    async def _pieces(self, content: bytes) -> AsyncIterator[bytes]:
        """Send a list as fast as its client reads."""
        self._lists += 1
        try:
            for at in range(0, len(content), _PIECE):
                yield content[at:at + _PIECE]
        finally:
            self._lists -= 1

    async def explain(self, request: Request) -> Response:
        """Say which system a user gets; what is not `key` or `flag` is an attribute."""
        latest = self._snapshots.latest
        if latest is None:
            return _unavailable(NOT_YET)
        try:
            key, context, flag = await asked(request, latest)
            today = clock.now().date()
            found = explain(
                latest.evaluator, key, context, flag=flag, today=today)
        except Problem as problem:
            return _failed(problem)
        except InvalidInput as error:
            return JSONResponse({"errorDetails": str(error)}, 400)
        return JSONResponse({**found, "is_stale": latest.is_stale})


def _failed(problem: Problem) -> Response:
    body = problem.body(None)
    return Response(body, problem.status, media_type="application/json")


def _unavailable(why: str) -> Response:
    return JSONResponse({"errorDetails": why}, 503, {"Retry-After": "1"})


def _is_other(etag: str) -> Callable[[LatestFlags], bool]:
    """Return whether the latest snapshot has another etag."""
    return lambda latest: latest.evaluator.snapshot.etag != etag


async def wait_until(
    snapshots: Snapshots, seconds: float, is_wanted: Callable[[LatestFlags], bool]
) -> LatestFlags | None:
    """Return what answers once it is what is wanted, or what there is after `seconds`."""
    latest = snapshots.latest
    if latest is not None and is_wanted(latest):
        return latest
    loop, has_come = asyncio.get_running_loop(), asyncio.Event()

    # called in the feed's thread
    def check(latest: LatestFlags) -> None:
        if is_wanted(latest):
            # the loop may have ended meanwhile
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(has_come.set)

    unsubscribe = snapshots.subscribe(check)
    try:
        # it may have come before we subscribed
        latest = snapshots.latest
        if latest is None or not is_wanted(latest):
            await asyncio.wait_for(has_come.wait(), seconds)
    except TimeoutError:
        pass
    finally:
        unsubscribe()
    return snapshots.latest


async def _unless_gone(request: Request, waiting: Coroutine[Any, Any, object]) -> None:
    """Wait, but no longer than the client does: nothing stays open for nobody."""
    tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(_leaving(request))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _wait_of(query: QueryParams) -> float | None:
    """Return the seconds that a client would wait, cut to the longest; None for no number."""
    try:
        seconds = float(query.get("wait", "0"))
    except ValueError:
        return None
    # asked this way round, NaN is none either
    if seconds >= 0:
        return min(seconds, LONGEST_WAIT_SECONDS)
    return None


def _matches(headers: Headers, etag: str) -> bool:
    known = []
    for part in headers.get("if-none-match", "").split(","):
        known.append(part.strip().removeprefix("W/"))
    return etag in known or "*" in known
