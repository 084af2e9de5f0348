"""The engine's levers: what cutovers, rollbacks, repairs and back-pressure have it do.

Each is a POST that may be repeated. A repair says what it repairs (`repair.name` in the body).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from examples.documents.ai_client import AiUnavailable
from examples.documents.engine import NodeEngine
from examples.documents.memory import collect_garbage

Answer = Callable[[Any, int], Response]
Action = Callable[[str], Any]


def routes(engine: NodeEngine, answer: Answer) -> list[Route]:
    """Return an address for each lever of an engine."""
    return [
        Route(f"/admin/{path}", _endpoint(action, answer), methods=["POST"])
        for path, action in _actions(engine).items()
    ]


def _actions(engine: NodeEngine) -> dict[str, Action]:
    """Return what each lever does; its argument is the node that a repair names, or nothing."""
    def stop_ai(_name: str) -> str:
        engine.scheduler.pause()
        # a service that is down has nothing in memory
        with suppress(AiUnavailable):
            engine.ai.unload()
        return "AI work is paused, its models are unloaded"

    def normal(_name: str) -> str:
        engine.scheduler.resume()
        engine.later.release()
        return "AI work and later tasks go on"

    def unload(_name: str) -> str:
        engine.ai.unload()
        return "the models are unloaded"

    def clear_cache(_name: str) -> dict[str, int]:
        held = engine.cache.clear()
        # what the cache let go is given back to the machine
        return {"bytes": held, "objects": collect_garbage()}

    return {
        "engine/start": lambda _: engine.start(),
        "engine/stop": lambda _: engine.stop(),
        "ai/start": lambda _: engine.scheduler.resume(),
        "ai/stop": stop_ai,
        "ai/pause": lambda _: engine.scheduler.pause(),
        "ai/withhold": lambda _: engine.scheduler.withhold(),
        "ai/unload": unload,
        "later/delay": lambda _: engine.later.delay(),
        "normal": normal,
        "memory/collect": lambda _: collect_garbage(),
        "cache/clear": clear_cache,
        "nodes/restart": engine.restart_nodes,
        "nodes/reroute": engine.reroute,
        "database/unlock": lambda _: engine.records.end_stuck(),
    }


def _endpoint(action: Action, answer: Answer) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        name = _named(await request.json() if await request.body() else {})
        try:
            found = await run_in_threadpool(action, name)
        except AiUnavailable as error:
            return answer({"error": str(error)}, 502)
        return answer({"done": found}, 200)

    return endpoint


def _named(body: Any) -> str:
    """Return the node that a repair is about: `node pdf` is its check's name."""
    repair = body.get("repair") if isinstance(body, dict) else None
    check = str(repair.get("check", "")) if isinstance(repair, dict) else ""
    return check.removeprefix("node ") if check.startswith("node ") else ""
